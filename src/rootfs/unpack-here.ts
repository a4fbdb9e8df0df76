import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setImmediate as nextTurn } from "node:timers/promises";
import { TarReader } from "../image/tar/reader.ts";
import { readDefaults } from "./attributes.ts";
import { checkDiffId, openCompressed, plainBytes } from "./layer/layer.ts";
import { close, openHostFolder } from "./syscalls.ts";
import type { Unpacking } from "./threads/unpack-in-threads.ts";
import { tracedLayer } from "./traced-layer.ts";
import { TreeWriter } from "./tree-writer.ts";

/** Plain bytes whose members are written without looking for an abort in between. */
const abortCheckBytes = 64 * 1024;

/**
 * Unpacks in this thread, with Node alone. For small images, where starting threads and programs would take longer.
 */
export async function unpackHere({ layers, destination, step, progress }: Unpacking): Promise<void> {
  const root = openHostFolder(destination);
  const writer = new TreeWriter({ root, defaults: readDefaults(), warn: (text) => step.log.warn(text) });
  progress.watch(() => writer.written);
  try {
    for (const [index, layer] of layers.entries()) {
      progress.startLayer(index);
      writer.startLayer();
      await tracedLayer(layer, step, async () => {
        const tar = new TarReader(writer);
        const hash = layer.isProven ? undefined : createHash("sha256");
        const { compression, bytes } = await openCompressed(layer, step.signal);
        // The whole layer is read first, so nothing is written from a damaged one.
        const whole = Readable.from([await buffer(bytes)], { objectMode: false });
        for await (const plain of plainBytes({ compression, bytes: whole }, layer.descriptor)) {
          hash?.update(plain);
          for (let at = 0; at < plain.length; at += abortCheckBytes) {
            // Otherwise an abort would not be noticed while many members are written.
            await nextTurn();
            step.signal.throwIfAborted();
            tar.write(plain.subarray(at, at + abortCheckBytes));
          }
        }
        tar.end();
        if (hash !== undefined) checkDiffId(layer, `sha256:${hash.digest("hex")}`);
      });
    }
    writer.finish();
  } finally {
    writer.closeAll();
    close(root);
  }
}
