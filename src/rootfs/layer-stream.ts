import { createHash } from "node:crypto";
import { PassThrough, Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { errorCode, messageOf, UserError } from "../host/errors.ts";
import { verified } from "../image/verify.ts";
import type { Layer } from "./unpack.ts";

const headLength = 4;

/**
 * Feeds a layer's plain bytes to `take`, and then answers: digest and size of the blob, the compression's own checks
 * and the diff ID were all right.
 * @throws UserError otherwise; and what `take` throws
 */
export async function readLayer(
  { descriptor, diffId, open }: Layer,
  take: (bytes: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  const where = "layer";
  const source = verified(descriptor, await open(signal), { where, signal });
  const plain = new PassThrough({ highWaterMark: 1024 * 1024 });
  const hash = createHash("sha256");
  const consumed = pipeline(
    plain,
    async (bytes: AsyncIterable<Buffer>) => {
      for await (const chunk of bytes) {
        hash.update(chunk);
        take(chunk);
      }
    },
    { signal },
  );
  try {
    const [head, whole] = await peek(source);
    await Promise.all([pipeline(whole, decompressor(head), plain, { signal }), consumed]);
  } catch (thrown) {
    plain.destroy();
    await consumed.catch(() => {});
    signal.throwIfAborted();
    const code = errorCode(thrown) ?? "";
    if (!/^(Z_|ZSTD_|ERR_ZSTD)/.test(code)) throw thrown;
    throw new UserError(`${where} ${descriptor.digest} can't be decompressed: ${messageOf(thrown)}`);
  }
  const found = `sha256:${hash.digest("hex")}`;
  if (found === diffId) return;
  throw new UserError(
    `${where} ${descriptor.digest} holds an archive of digest ${found}, the image's config says ${diffId}; store the image again`,
  );
}

/** The first bytes of a stream, and a stream of all its bytes. */
async function peek(source: Readable): Promise<[Buffer, Readable]> {
  const iterator = (source as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < headLength) {
    const { value, done } = await iterator.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  async function* all() {
    yield head;
    yield* { [Symbol.asyncIterator]: () => iterator };
  }
  return [head, Readable.from(all(), { objectMode: false, highWaterMark: 1024 * 1024 })];
}

/** By the first bytes: media types of layers are often wrong. gzip: RFC 1952; Zstandard: RFC 8878. */
function decompressor(head: Buffer): Transform {
  if (head[0] === 0x1f && head[1] === 0x8b) return createGunzip({ chunkSize: 1024 * 1024 });
  const magic = head.length >= headLength ? head.readUInt32LE(0) : 0;
  if (magic === 0xfd2fb528) return createZstdDecompress({ chunkSize: 1024 * 1024 });
  return new PassThrough();
}
