import { formatBytes } from "../host/format.ts";
import type { Log } from "../host/log.ts";
import { reportProgress as reportNowAndThen } from "../host/progress.ts";

/** What has been written so far, over all layers. */
export interface Counts {
  readonly entries: number;
  readonly bytes: number;
}

/** Logs how far an unpacking is. */
export interface UnpackProgress extends Disposable {
  /** Sets where to read the counts from. */
  watch(counts: () => Counts): void;
  /** A layer begins, counted from 0. */
  startLayer(index: number): void;
  /** All is done. Logs the total if anything was logged before. */
  done(): void;
}

const nothingYet = (): Counts => ({ entries: 0, bytes: 0 });

export function reportUnpacking(layers: number, log: Pick<Log, "line">): UnpackProgress {
  let read: () => Counts = nothingYet;
  let layer = 0;
  const counted = () => {
    const { entries, bytes } = read();
    return `${entries} ${entries === 1 ? "entry" : "entries"}, ${formatBytes(bytes)}`;
  };
  const told = reportNowAndThen(log, () => `unpacking layer ${layer + 1} of ${layers}: ${counted()}`);
  return {
    watch: (counts) => {
      read = counts;
    },
    startLayer: (index) => {
      layer = index;
    },
    done: () => {
      if (told.spoke()) log.line(`unpacked ${layers} ${layers === 1 ? "layer" : "layers"}: ${counted()}`);
    },
    [Symbol.dispose]: () => told[Symbol.dispose](),
  };
}
