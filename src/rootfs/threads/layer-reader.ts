import { readSync } from "node:fs";
import { Arrival } from "../../image/arrival.ts";
import { compressionFormatOf, type PlainReader } from "../../image/compression/formats.ts";
import { Sha256 } from "../../image/sha256.ts";
import type { FoundBlob } from "../../image/verify.ts";
import type { OpenBytes } from "../layer/open-layer.ts";
import { close } from "../syscalls.ts";

/** Compressed bytes to read at once when they are only hashed. */
const drainedAtOnce = 256 * 1024;

/**
 * Reads a layer's plain bytes synchronously, for a thread. It decompresses what a thread can decompress. A blob in a
 * file is followed while it arrives, and hashed unless others verify it.
 */
export class LayerReader implements Disposable {
  readonly #fd: number;
  /** Undefined for a pipe. */
  readonly #file: { readonly start: number; readonly arrival: Arrival } | undefined;
  readonly #plain: PlainReader | undefined;
  /** Undefined for what others verify. */
  readonly #hash: Sha256 | undefined;
  /** The number of bytes that have been read of the blob. */
  #size = 0;

  constructor({ fd, compression, file }: OpenBytes) {
    this.#fd = fd;
    this.#file = file && { start: file.start, arrival: new Arrival(file.arrival) };
    this.#hash = file?.isVerified === false ? new Sha256() : undefined;
    this.#hash?.begin();
    this.#plain = compressionFormatOf(compression)?.inThread?.open((into) => this.#readBlob(into));
  }

  /**
   * Fills a buffer from its start, completely or in part. Returns the number of bytes, 0 at the end.
   * @throws UndecompressableError
   */
  read(into: Buffer): number {
    return this.#plain?.read(into) ?? this.#readBlob(into);
  }

  /** Reads what is left of the blob. Returns what it is; undefined if others verify it. */
  finish(): FoundBlob | undefined {
    if (this.#hash === undefined) return undefined;
    const rest = Buffer.allocUnsafeSlow(drainedAtOnce);
    while (this.#readBlob(rest) > 0);
    return { size: this.#size, digest: `sha256:${this.#hash.end().toString("hex")}` };
  }

  #readBlob(into: Buffer): number {
    if (this.#file === undefined) return readSync(this.#fd, into);
    const { start, arrival } = this.#file;
    const there = arrival.wait(this.#size) - this.#size;
    if (there <= 0) return 0;
    const length = readSync(this.#fd, into, 0, Math.min(into.length, there), start + this.#size);
    this.#hash?.add(into.subarray(0, length));
    this.#size += length;
    return length;
  }

  [Symbol.dispose](): void {
    this.#plain?.[Symbol.dispose]();
    close(this.#fd);
  }
}
