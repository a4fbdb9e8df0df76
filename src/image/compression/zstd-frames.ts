import { pipeline } from "node:stream/promises";
import { constants, createZstdDecompress } from "node:zlib";
import { isSkippable, isZstd } from "./magic.ts";
import { UndecompressableError } from "./undecompressable.ts";
import { zstdReason, zstdWindowLog } from "./zstd-window.ts";

/**
 * Decompresses Zstandard (RFC 8878) of any number of frames. Node's decompressor fails when one frame follows
 * another, so the frames are separated here, and each gets a decompressor of its own. pzstd and zstd:chunked make
 * many frames. zstd(1) reads them too, if it is installed.
 */
export async function* unzstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const input = new Input(source);
  while (await input.has(1)) {
    const head = await input.peek(4);
    if (!isZstd(head)) throw broken("something else follows its last frame");
    if (isSkippable(head)) {
      const length = (await input.peek(8)).readUInt32LE(4);
      for await (const _ of input.take(8 + length));
    } else {
      yield* decompressFrame(frame(input));
    }
  }
}

async function* decompressFrame(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const plain = createZstdDecompress({
    chunkSize: 1024 * 1024,
    params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog },
  });
  // The reader of `plain` gets the error. When it stops, both streams are destroyed.
  const fed = pipeline(bytes, plain).catch(() => {});
  try {
    yield* plain;
  } finally {
    plain.destroy();
    await fed;
  }
}

/** The bytes of one frame: its header, blocks that begin with their length, and perhaps a checksum. */
async function* frame(input: Input): AsyncGenerator<Buffer> {
  const descriptor = (await input.peek(5))[4] as number;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6] as number;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number;
  yield* input.take(5 + (isSingleSegment ? 0 : 1) + dictionaryBytes + sizeBytes);
  for (let isLast = false; !isLast; ) {
    const header = (await input.peek(3)).readUIntLE(0, 3);
    isLast = (header & 1) !== 0;
    const isRepeated = ((header >>> 1) & 3) === 1;
    yield* input.take(3 + (isRepeated ? 1 : header >>> 3));
  }
  const hasChecksum = (descriptor & 4) !== 0;
  if (hasChecksum) yield* input.take(4);
}

/** A stream whose next bytes can be looked at before they are taken. */
class Input {
  readonly #source: AsyncIterator<Buffer>;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Whether at least this many bytes are left. */
  async has(count: number): Promise<boolean> {
    while (this.#bytes.length < count) {
      const { value, done } = await this.#source.next();
      if (done === true) return false;
      this.#bytes = this.#bytes.length === 0 ? value : Buffer.concat([this.#bytes, value]);
    }
    return true;
  }

  async peek(count: number): Promise<Buffer> {
    if (await this.has(count)) return this.#bytes;
    throw broken("it ends within a frame");
  }

  async *take(count: number): AsyncGenerator<Buffer> {
    let left = count;
    while (left > 0) {
      const taken = (await this.peek(1)).subarray(0, left);
      this.#bytes = this.#bytes.subarray(taken.length);
      left -= taken.length;
      yield taken;
    }
  }
}

function broken(what: string): Error {
  return new UndecompressableError(zstdReason(what));
}
