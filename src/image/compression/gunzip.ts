import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { messageOf } from "../../host/errors.ts";
import { followedGzip, UndecompressableError } from "./undecompressable.ts";

/**
 * Decompresses gzip (RFC 1952) of any number of members. As in GNU gzip, zeros may follow the last one. Node's
 * decompressor reads several members, but ignores everything after zeros. So this function checks that nothing else
 * follows them.
 */
export async function* gunzip(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const plain = createGunzip({ chunkSize: 1024 * 1024 });
  let read = 0;
  /** The offset behind the last byte that isn't zero. */
  let end = 0;
  async function* watched(bytes: AsyncIterable<Buffer>) {
    for await (const chunk of bytes) {
      let last = chunk.length;
      while (last > 0 && chunk[last - 1] === 0) last--;
      if (last > 0) end = read + last;
      read += chunk.length;
      yield chunk;
    }
  }
  // The reader of `plain` gets the error as well.
  const fed = pipeline(source, watched, plain).catch(() => {});
  try {
    yield* plain;
    await fed;
    if (end > plain.bytesWritten) throw somethingFollows();
  } catch (thrown) {
    // The first member's magic bytes were right, or this would not be taken for gzip.
    throw messageOf(thrown) === "incorrect header check" ? somethingFollows() : thrown;
  } finally {
    plain.destroy();
    await fed;
  }
}

function somethingFollows(): UndecompressableError {
  return new UndecompressableError(followedGzip);
}
