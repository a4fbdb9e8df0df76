import { chmod, mkdir, rm } from "node:fs/promises";
import type { Readable } from "node:stream";
import { writeProblem } from "../host/durable.ts";
import { UserError } from "../host/errors.ts";
import { formatBytes } from "../host/format.ts";
import type { Log } from "../host/log.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId } from "../image/digest.ts";
import { readLayer } from "./layer-stream.ts";
import { TarError } from "./tar/error.ts";
import { TarReader } from "./tar/reader.ts";
import { TreeWriter } from "./tree-writer.ts";

/** One layer of the image, lowest first in a list: its compressed blob and the digest of its plain bytes. */
export interface Layer {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
  /** The compressed blob, unverified. */
  readonly open: (signal: AbortSignal) => Promise<Readable>;
  /** The blob's file, where it lies on a local disk. */
  readonly file: string | undefined;
}

export interface UnpackOptions {
  readonly layers: readonly Layer[];
  /** Must not exist, or be empty; it is removed again if anything fails. */
  readonly destination: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Milliseconds between two lines about how far it is; nothing is said of what is done sooner. */
const reportEvery = 5000;

/**
 * Unpacks an image's layers, one over the other, into the root filesystem that they make: types, bytes, owners,
 * modes, times to the nanosecond, hard links and extended attributes. Each layer is checked against its digest and
 * its diff ID. Nothing outside of the destination is read or written, whatever the layers hold.
 * @throws UserError when a layer is damaged or holds what no layer may; the destination is removed then
 */
export async function unpackRootfs({ layers, destination, log, signal }: UnpackOptions): Promise<void> {
  await mkdir(destination, { recursive: true, mode: 0o755 });
  await chmod(destination, 0o755);
  const writer = new TreeWriter(destination, log);
  let reported = performance.now();
  try {
    for (const [index, layer] of layers.entries()) {
      writer.startLayer();
      const tar = new TarReader(writer);
      const take = (bytes: Buffer): void => {
        tar.write(bytes);
        if (performance.now() - reported < reportEvery) return;
        reported = performance.now();
        const { entries, bytes: written } = writer.written;
        log.line(
          `unpacking layer ${index + 1} of ${layers.length}: ${entries} files, ${formatBytes(written)}`,
        );
      };
      await readLayer(layer, take, signal);
      tar.end();
    }
    writer.finish();
  } catch (thrown) {
    writer.abandon();
    await rm(destination, { recursive: true, force: true });
    if (thrown instanceof TarError) {
      throw new UserError(`a layer is no whole tar archive: ${thrown.message}`, { cause: thrown });
    }
    throw await writeProblem(thrown, destination);
  }
}
