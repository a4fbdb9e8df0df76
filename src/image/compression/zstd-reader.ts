import { readSync } from "node:fs";
import koffi from "koffi";
import { libc } from "../../host/libc.ts";
import { isZstd } from "./magic.ts";
import { UndecompressableError } from "./undecompressable.ts";

/**
 * What is called of <zstd.h>, in the libzstd that Node is made of. Not in the machine's: what that calls of itself
 * would be bound to Node's, which is of another version, for both have the same names and Node's come first.
 * @throws Error where Node keeps it to itself
 */
function loadLibzstd() {
  return {
    create: libc.func("void *ZSTD_createDStream()"),
    free: libc.func("size_t ZSTD_freeDStream(void *stream)"),
    decompress: libc.func("size_t ZSTD_decompressStream(void *stream, void *output, void *input)"),
    isError: libc.func("unsigned int ZSTD_isError(size_t code)"),
    errorName: libc.func("const char *ZSTD_getErrorName(size_t code)"),
  } as const;
}

/** Whether a {@link ZstdReader} can be made here. */
export function canReadZstd(): boolean {
  try {
    loadLibzstd();
    return true;
  } catch {
    return false;
  }
}

/** Bytes of compressed input that are read at once. */
const zstdInputSize = 256 * 1024;

/**
 * Reads Zstandard (RFC 8878) of any number of frames from a descriptor, and decompresses it to where it is wanted:
 * a program's output would be copied into a pipe and out of it, which takes two thirds of what decompressing takes.
 * The library's default limits a frame's window to 128 MiB, as it does for zstd(1).
 */
export class ZstdReader implements Disposable {
  readonly #zstd = loadLibzstd();
  readonly #fd: number;
  readonly #stream: unknown;
  readonly #bytes = Buffer.allocUnsafeSlow(zstdInputSize);
  /** ZSTD_inBuffer and ZSTD_outBuffer: an address, the bytes there, and how many of them are taken or made. */
  readonly #input = new BigUint64Array(3);
  readonly #output = new BigUint64Array(3);
  #isBetweenFrames = true;
  /** There was no room for all that could be made of the input. */
  #isHeldBack = false;

  constructor(fd: number) {
    this.#fd = fd;
    this.#stream = this.#zstd.create();
    if (this.#stream === null) throw new Error("ZSTD_createDStream: there is no memory");
    this.#input[0] = koffi.address(this.#bytes);
  }

  /**
   * Fills a buffer with plain bytes, wholly or in part, from its start. Answers how many; 0 at the end.
   * @throws UndecompressableError when it is no whole Zstandard
   */
  read(into: Uint8Array): number {
    this.#output.set([koffi.address(into), BigInt(into.length), 0n]);
    for (;;) {
      if (this.#isBetweenFrames) {
        if (!this.#findFrame()) return 0;
      } else if (this.#left() === 0 && !this.#isHeldBack && !this.#readMore()) {
        throw new UndecompressableError("it is broken Zstandard: it ends within a frame");
      }
      const made = this.#decompress();
      if (made > 0) return made;
    }
  }

  [Symbol.dispose](): void {
    this.#zstd.free(this.#stream);
  }

  #decompress(): number {
    const code: number | bigint = this.#zstd.decompress(this.#stream, this.#output, this.#input);
    if (this.#zstd.isError(code) !== 0) {
      throw new UndecompressableError(`it is broken Zstandard: ${this.#zstd.errorName(code)}`);
    }
    this.#isBetweenFrames = code === 0;
    this.#isHeldBack = this.#output[1] === this.#output[2];
    return Number(this.#output[2]);
  }

  /**
   * Whether another frame follows. That is looked at here, since the library may be made to read what came before
   * Zstandard was a standard as well, by code that hardly anyone uses or looks after.
   */
  #findFrame(): boolean {
    while (this.#left() < 4) {
      if (this.#readMore()) continue;
      if (this.#left() === 0) return false;
      throw new UndecompressableError("it is broken Zstandard: it ends within a frame");
    }
    if (!isZstd(this.#bytes.subarray(Number(this.#input[2])))) {
      throw new UndecompressableError("it is broken Zstandard: something else follows its last frame");
    }
    return true;
  }

  /** Bytes of input that aren't taken yet. */
  #left(): number {
    return Number(this.#input[1]) - Number(this.#input[2]);
  }

  /** Reads more input, behind what isn't taken yet. Answers false at its end. */
  #readMore(): boolean {
    const left = this.#left();
    this.#bytes.copyWithin(0, Number(this.#input[2]), Number(this.#input[1]));
    const length = readSync(this.#fd, this.#bytes, left, zstdInputSize - left, null);
    this.#input[1] = BigInt(left + length);
    this.#input[2] = 0n;
    return length > 0;
  }
}
