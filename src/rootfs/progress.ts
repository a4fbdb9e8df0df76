import { formatBytes } from "../host/format.ts";
import type { Log } from "../host/log.ts";

/** What is written so far, of all layers. */
export interface Counts {
  readonly entries: number;
  readonly bytes: number;
}

/** Tells a person how far an unpacking is. */
export interface Progress extends Disposable {
  /** Where to read how much is written. */
  watch(counts: () => Counts): void;
  /** A layer begins, counted from 0. */
  startLayer(index: number): void;
  /** All is done: says so, if it said anything before. */
  done(): void;
}

/** Milliseconds. What is done within a second isn't worth a line; the longer it takes, the fewer lines are needed. */
const firstAfter = 1000;
const leastWait = 2000;
const nothingYet = (): Counts => ({ entries: 0, bytes: 0 });

export function reportProgress(layers: number, log: Pick<Log, "line">): Progress {
  const begun = performance.now();
  let read: () => Counts = nothingYet;
  let layer = 0;
  let next = firstAfter;
  const counted = () => {
    const { entries, bytes } = read();
    return `${entries} ${entries === 1 ? "entry" : "entries"}, ${formatBytes(bytes)}`;
  };
  const timer = setInterval(() => {
    const elapsed = performance.now() - begun;
    if (elapsed < next) return;
    next = Math.max(elapsed * 1.5, elapsed + leastWait);
    log.line(`unpacking layer ${layer + 1} of ${layers}: ${counted()}`);
  }, 250);
  return {
    watch: (counts) => {
      read = counts;
    },
    startLayer: (index) => {
      layer = index;
    },
    done: () => {
      if (next > firstAfter)
        log.line(`unpacked ${layers} ${layers === 1 ? "layer" : "layers"}: ${counted()}`);
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
