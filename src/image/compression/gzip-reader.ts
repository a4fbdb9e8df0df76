import koffi from "koffi";
import { isGzip } from "./magic.ts";
import { followedGzip, UndecompressableError } from "./undecompressable.ts";

/** The functions of <isa-l/igzip_lib.h> that are needed. Debian's igzip(1) uses the same library. */
interface Libisal {
  readonly init: (state: Uint8Array) => void;
  readonly reset: (state: Uint8Array) => void;
  readonly inflate: (state: Uint8Array) => number;
}

/** Undefined if it isn't installed, or isn't as expected. */
let library: Libisal | undefined;

/** @throws Error if it isn't installed */
function loadLibisal(): Libisal {
  if (library !== undefined) return library;
  const isal = koffi.load("libisal.so.2");
  library = {
    init: isal.func("void isal_inflate_init(void *state)"),
    reset: isal.func("void isal_inflate_reset(void *state)"),
    inflate: isal.func("int isal_inflate(void *state)"),
  };
  return library;
}

/** `struct inflate_state`: offsets of its fields, and more bytes than it has (87,368). The same on amd64 and arm64. */
const field = { nextOut: 0, availableOut: 8, nextIn: 16, availableIn: 32, block: 21_160, wrapper: 21_172 };
const stateSize = 128 * 1024;
/** `ISAL_BLOCK_FINISH`: the member has ended, and its checksum was right. */
const finished = 5;
/** `ISAL_GZIP`: header and checksum are checked. */
const gzipWrapper = 1;

/** A member's flags (RFC 1952, 2.3.1), and the flag of a header that ends in a checksum, FHCRC. */
const flagsOffset = 3;
const headerChecksum = 2;

const failures: Readonly<Record<number, string>> = {
  [-1]: "invalid block",
  [-2]: "invalid symbol",
  [-3]: "invalid distance",
  [-4]: "invalid header",
  [-5]: "unknown compression method",
  [-6]: "incorrect checksum",
};

/**
 * Whether a {@link GzipReader} can be made: the library is installed, and finds what is right and what is wrong with
 * two small members. That shows that its state is laid out as expected.
 */
export function canReadGzip(): boolean {
  try {
    const whole = Buffer.from(twoMembers, "base64");
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(whole.length - 8) ^ 1, whole.length - 8);
    return plainText(whole) === "onetwo" && plainText(damaged) === undefined;
  } catch {
    return false;
  }
}

/** gzip members of `one` and of `two`. */
const twoMembers = "H4sIAAAAAAAAA8vPSwUA8YZsegMAAAAfiwgAAAAAAAADKynPBwBmisoRAwAAAA==";

/** Undefined if the bytes are refused. */
function plainText(bytes: Buffer): string | undefined {
  const text = Buffer.alloc(16);
  let at = 0;
  let length = 0;
  const reader = new GzipReader((into) => {
    const count = bytes.copy(into, 0, at);
    at += count;
    return count;
  });
  try {
    for (let made = reader.read(text); made > 0; made = reader.read(text.subarray(length))) length += made;
    return text.toString("latin1", 0, length);
  } catch (thrown) {
    if (thrown instanceof UndecompressableError) return undefined;
    throw thrown;
  }
}

/** Bytes of compressed input to read at once. */
const inputSize = 256 * 1024;

/**
 * Decompresses gzip (RFC 1952) of any number of members straight into the caller's buffer. The output of a program
 * would be copied into a pipe and out of it, which takes as long again as decompressing. As in GNU gzip, zeros may
 * follow the last member.
 */
export class GzipReader implements Disposable {
  readonly #isal = loadLibisal();
  readonly #readInput: (into: Buffer) => number;
  readonly #bytes = Buffer.allocUnsafeSlow(inputSize);
  readonly #state = Buffer.alloc(stateSize);
  /** What of `#bytes` the library hasn't read yet. */
  #input = this.#bytes.subarray(0, 0);
  #isEnd = false;
  #isBetweenMembers = true;

  /** @param input reads into a buffer and returns the number of bytes, 0 at the end */
  constructor(input: (into: Buffer) => number) {
    this.#readInput = input;
    this.#isal.init(this.#state);
  }

  /**
   * Fills a buffer from its start with plain bytes, completely or in part. Returns the number of bytes, 0 at the
   * end.
   * @throws UndecompressableError when the input is not complete, valid gzip
   */
  read(into: Uint8Array): number {
    for (;;) {
      if (this.#isBetweenMembers && !this.#findMember()) return 0;
      if (this.#input.length === 0) this.#readMore();
      const made = this.#inflate(into);
      if (made > 0) return made;
      if (!this.#isBetweenMembers && this.#isEnd && this.#input.length === 0)
        throw new UndecompressableError("it is broken gzip: it ends within a member");
    }
  }

  [Symbol.dispose](): void {}

  #inflate(into: Uint8Array): number {
    const state = this.#state;
    state.writeBigUInt64LE(koffi.address(into), field.nextOut);
    state.writeUInt32LE(into.length, field.availableOut);
    state.writeBigUInt64LE(koffi.address(this.#bytes) + BigInt(this.#offset()), field.nextIn);
    state.writeUInt32LE(this.#input.length, field.availableIn);
    const code = this.#isal.inflate(state);
    if (code < 0) {
      throw new UndecompressableError(
        `it is broken gzip: ${failures[code] ?? `the library answers ${code}`}`,
      );
    }
    this.#input = this.#input.subarray(this.#input.length - state.readUInt32LE(field.availableIn));
    this.#isBetweenMembers = state.readInt32LE(field.block) === finished;
    return into.length - state.readUInt32LE(field.availableOut);
  }

  /** Whether another member follows. If so, the library is ready to read it. */
  #findMember(): boolean {
    while (this.#input.length < flagsOffset + 1 && this.#readMore());
    if (this.#input.length === 0) return false;
    if (!isGzip(this.#input)) {
      this.#refuseUnlessZeros();
      return false;
    }
    // The library computes another checksum of a header that it gets in several pieces (2.30).
    const hasChecksum = ((this.#input[flagsOffset] ?? 0) & headerChecksum) !== 0;
    if (hasChecksum) while (this.#input.length < inputSize && this.#readMore());
    this.#isal.reset(this.#state);
    this.#state.writeUInt32LE(gzipWrapper, field.wrapper);
    this.#isBetweenMembers = false;
    return true;
  }

  #refuseUnlessZeros(): void {
    do {
      if (this.#input.some((byte) => byte !== 0)) throw new UndecompressableError(followedGzip);
      this.#input = this.#input.subarray(this.#input.length);
    } while (this.#readMore());
  }

  /** Where the unread input begins in `#bytes`. */
  #offset(): number {
    return this.#input.byteOffset - this.#bytes.byteOffset;
  }

  /** Reads more input behind the bytes that the library hasn't read yet. Returns false at the end of the input. */
  #readMore(): boolean {
    const left = this.#input.length;
    this.#bytes.copyWithin(0, this.#offset(), this.#offset() + left);
    const length = this.#isEnd ? 0 : this.#readInput(this.#bytes.subarray(left));
    this.#isEnd = length === 0;
    this.#input = this.#bytes.subarray(0, left + length);
    return length > 0;
  }
}
