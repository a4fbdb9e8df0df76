import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { type Compression, compressionOf } from "../../image/compression/formats.ts";
import { headLength } from "../../image/compression/magic.ts";
import { BlobCheck } from "../../image/verify.ts";
import { type LayerBytes, openCompressed } from "./layer.ts";

/** A layer's compressed bytes. */
export interface LayerSource extends AsyncDisposable {
  readonly compression: Compression;
  /**
   * The descriptor of the blob's file, which a program or a thread can read itself, from the start. Undefined if
   * the blob is a stream.
   */
  readonly fd: number | undefined;
  /** The bytes, verified as they pass. May be called only once. */
  read(): AsyncIterable<Buffer>;
  /** The last four bytes as a number: in gzip the plain length of the last member, modulo 2^32 (RFC 1952, 2.3.1). */
  lastNumber(): Promise<number>;
}

const layerReadSize = 512 * 1024;

/** Opens a layer's file if it has one, else its stream. */
export function openLayerSource(layer: LayerBytes, signal: AbortSignal): Promise<LayerSource> {
  const { file } = layer;
  return file === undefined ? openStream(layer, signal) : openFile(layer, file, signal);
}

async function openStream(layer: LayerBytes, signal: AbortSignal): Promise<LayerSource> {
  const { compression, bytes } = await openCompressed(layer, signal);
  let last = Buffer.alloc(0);
  async function* read() {
    for await (const chunk of bytes) {
      last = Buffer.concat([last, chunk.subarray(-4)]).subarray(-4);
      yield chunk;
    }
  }
  const lastNumber = async () => littleEndianNumber(last);
  return { compression, fd: undefined, read, lastNumber, [Symbol.asyncDispose]: async () => {} };
}

/** Opens a file without following a link or waiting at a FIFO: it may be in a folder that others write to. */
async function openFile(
  { descriptor, where = "layer" }: LayerBytes,
  path: string,
  signal: AbortSignal,
): Promise<LayerSource> {
  await using resources = new AsyncDisposableStack();
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = resources.use(await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const head = Buffer.alloc(headLength);
  const { bytesRead } = await file.read(head, 0, headLength, 0);
  // Each read gives a position. So the file's own position, which other readers of the descriptor share, stays at
  // the start.
  async function* read() {
    const check = new BlobCheck(descriptor, where);
    // One buffer for all pieces: a new one for each would cost the garbage collector more time than the hashing
    // takes.
    const buffer = Buffer.allocUnsafe(layerReadSize);
    for (let at = 0; ; ) {
      signal.throwIfAborted();
      const { bytesRead: length } = await file.read(buffer, 0, layerReadSize, at);
      if (length === 0) break;
      at += length;
      check.add(buffer.subarray(0, length));
      yield buffer.subarray(0, length);
    }
    check.end();
  }
  const owned = resources.move();
  return {
    compression: compressionOf(head.subarray(0, bytesRead)),
    fd: file.fd,
    read,
    async lastNumber() {
      const last = Buffer.alloc(4);
      await file.read(last, 0, 4, Math.max(0, descriptor.size - 4));
      return littleEndianNumber(last);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function littleEndianNumber(last: Buffer): number {
  return last.length < 4 ? 0 : last.readUInt32LE(0);
}
