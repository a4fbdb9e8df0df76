import { constants } from "node:zlib";
import koffi from "koffi";
import { libc } from "../../host/libc.ts";
import { isZstd } from "./magic.ts";
import { UndecompressableError } from "./undecompressable.ts";
import { zstdReason, zstdWindowLog } from "./zstd-window.ts";

/**
 * The functions of <zstd.h> that are needed, from the libzstd that Node is built with. The machine's libzstd isn't
 * used. It would be loaded beside Node's, which is of another version and has the same symbol names. Node's symbols
 * come first, so calls inside the machine's libzstd would be bound to Node's functions.
 * @throws Error if this Node doesn't export its libzstd
 */
function loadLibzstd() {
  return {
    create: libc.func("void *ZSTD_createDStream()"),
    free: libc.func("size_t ZSTD_freeDStream(void *stream)"),
    setParameter: libc.func("size_t ZSTD_DCtx_setParameter(void *stream, int parameter, int value)"),
    decompress: libc.func("size_t ZSTD_decompressStream(void *stream, void *output, void *input)"),
    isError: libc.func("unsigned int ZSTD_isError(size_t code)"),
    errorName: libc.func("const char *ZSTD_getErrorName(size_t code)"),
  } as const;
}

/** Whether this Node exports its libzstd, so that a {@link ZstdReader} can be made. */
export function canReadZstd(): boolean {
  try {
    loadLibzstd();
    return true;
  } catch {
    return false;
  }
}

/** Bytes of compressed input to read at once. */
const zstdInputSize = 256 * 1024;

/**
 * Decompresses Zstandard (RFC 8878) of any number of frames straight into the caller's buffer. The output of a program
 * would be copied into a pipe and out of it, which takes two thirds as long as the decompression itself.
 */
export class ZstdReader implements Disposable {
  readonly #zstd = loadLibzstd();
  readonly #readInput: (into: Buffer) => number;
  readonly #stream: unknown;
  readonly #bytes = Buffer.allocUnsafeSlow(zstdInputSize);
  /**
   * ZSTD_inBuffer and ZSTD_outBuffer: an address, the number of bytes there, and how many of them have been read or
   * written.
   */
  readonly #input = new BigUint64Array(3);
  readonly #output = new BigUint64Array(3);
  #isBetweenFrames = true;
  /** The output buffer was filled, so the library may have more output without more input. */
  #isHeldBack = false;

  /** @param input reads into a buffer and returns the number of bytes, 0 at the end */
  constructor(input: (into: Buffer) => number) {
    this.#readInput = input;
    const stream: unknown = this.#zstd.create();
    if (stream === null) throw new Error("ZSTD_createDStream: there is no memory");
    this.#stream = stream;
    const { ZSTD_d_windowLogMax } = constants;
    const code: number | bigint = this.#zstd.setParameter(stream, ZSTD_d_windowLogMax, zstdWindowLog);
    if (this.#zstd.isError(code) !== 0) throw new Error(`ZSTD_d_windowLogMax: ${this.#zstd.errorName(code)}`);
    this.#input[0] = koffi.address(this.#bytes);
  }

  /**
   * Fills a buffer from its start with plain bytes, completely or in part. Returns the number of bytes, 0 at the
   * end.
   * @throws UndecompressableError when the input is not complete, valid Zstandard
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
      throw new UndecompressableError(zstdReason(this.#zstd.errorName(code)));
    }
    this.#isBetweenFrames = code === 0;
    this.#isHeldBack = this.#output[1] === this.#output[2];
    return Number(this.#output[2]);
  }

  /**
   * Whether another frame follows. The magic number is checked here, because the library may be built to read the
   * formats before the standard as well. That code is hardly used or maintained.
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

  /** Bytes of input that the library hasn't read yet. */
  #left(): number {
    return Number(this.#input[1]) - Number(this.#input[2]);
  }

  /** Reads more input behind the bytes that the library hasn't read yet. Returns false at the end of the input. */
  #readMore(): boolean {
    const left = this.#left();
    this.#bytes.copyWithin(0, Number(this.#input[2]), Number(this.#input[1]));
    const length = this.#readInput(this.#bytes.subarray(left));
    this.#input[1] = BigInt(left + length);
    this.#input[2] = 0n;
    return length > 0;
  }
}
