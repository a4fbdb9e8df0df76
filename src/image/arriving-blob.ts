import { addAbortListener } from "node:events";
import { constants, type FileHandle, open } from "node:fs/promises";
import { Readable } from "node:stream";
import { writeAllAt } from "../host/write-at.ts";
import { Arrival } from "./arrival.ts";
import type { Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import type { BlobCheck } from "./verify.ts";

/** Where a blob's bytes go. */
export interface BlobPlace {
  readonly path: string;
  /** The offset of the blob's first byte in the file. */
  readonly start: number;
}

/** Blobs on this disk, or arriving there. */
export interface NearBlobs extends Blobs {
  /** For a blob that isn't a file of its own, or not yet. */
  readonly arriving?: (descriptor: Descriptor) => ArrivingBlob | undefined;
}

export interface Bringing {
  /** Called with the number of bytes that have come since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal: AbortSignal;
}

/** Bytes of one write. The network delivers much smaller pieces. */
const writtenAtOnce = 256 * 1024;
const copiedAtOnce = 1024 * 1024;
const arrivedAtOnce = 512 * 1024;

/**
 * A blob on this disk whose bytes may still be arriving. Any number of readers can follow it: each gets the bytes as
 * soon as they are in the file. They aren't verified when a reader gets them, and at the end only if asked for.
 */
export class ArrivingBlob {
  readonly descriptor: Descriptor;
  readonly place: BlobPlace;
  readonly #check: BlobCheck | undefined;
  #received = 0;
  #ended: { readonly failure?: unknown } | undefined;
  #more = Promise.withResolvers<void>();
  readonly #followers = new Set<Arrival>();

  /** @param check hashes what arrives, so that {@link ended} throws unless it is the blob */
  constructor(descriptor: Descriptor, place: BlobPlace, check?: BlobCheck) {
    this.descriptor = descriptor;
    this.place = place;
    this.#check = check;
  }

  /** A blob whose bytes are all there. If it is a whole file, that may have more or fewer bytes than it should. */
  static inFile(descriptor: Descriptor, place: BlobPlace, isWhole: boolean): ArrivingBlob {
    const blob = new ArrivingBlob(descriptor, place);
    // One byte too many is enough for the check of the size to fail.
    blob.#received = descriptor.size + (isWhole ? 1 : 0);
    blob.#ended = {};
    return blob;
  }

  /** Whether what has arrived has been verified once {@link ended} resolves. */
  get isVerified(): boolean {
    return this.#check !== undefined;
  }

  /**
   * Fetches or copies the blob into an open file. May be called once.
   * @throws what `blobs`, the disk or the check throws. The readers wait until {@link end} tells them why
   */
  async bring(blobs: Blobs, file: FileHandle, options: Bringing): Promise<void> {
    const { descriptor } = this;
    const path = blobs.file(descriptor);
    options.signal.throwIfAborted();
    if (path !== undefined) await this.#copy(path, file, options);
    else if (blobs.pieces !== undefined)
      await this.#receive(blobs.pieces(descriptor, options.signal), file, options);
    else {
      const bytes = await blobs.open(descriptor, options.signal);
      using _ = addAbortListener(options.signal, () => bytes.destroy(options.signal.reason));
      await this.#receive(inPieces(bytes), file, options);
    }
    this.#check?.end();
    this.end();
  }

  /** No more bytes will come. The first call counts. */
  end(failure?: unknown): void {
    this.#ended ??= failure === undefined ? {} : { failure };
    this.#tell();
  }

  /** Whether all bytes are in the file. */
  get isWhole(): boolean {
    const isEnd = this.#ended !== undefined && !("failure" in this.#ended);
    return isEnd && this.#received === this.descriptor.size;
  }

  /** Resolves when no more bytes will come. @throws the failure if there was one */
  async ended(): Promise<void> {
    while (this.#ended === undefined) await this.#more.promise;
    if ("failure" in this.#ended) throw this.#ended.failure;
  }

  /** For a thread that reads the blob. To be given back to {@link unfollow}. */
  follow(): Arrival {
    const arrival = new Arrival();
    this.#followers.add(arrival);
    arrival.tell(this.#received, this.#ended !== undefined);
    return arrival;
  }

  /** Stops the reading of a thread that follows. */
  unfollow(arrival: Arrival): void {
    this.#followers.delete(arrival);
    arrival.stop();
  }

  /** The bytes, as they arrive. */
  open(): Readable {
    return Readable.from(this.#read(Number.POSITIVE_INFINITY), { objectMode: false });
  }

  /** The first bytes: so many, or all if there are fewer. */
  async head(length: number): Promise<Buffer> {
    let head = Buffer.alloc(0);
    for await (const piece of this.#read(length)) head = Buffer.concat([head, piece]);
    return head;
  }

  async #receive(
    source: AsyncIterable<readonly Buffer[]>,
    file: FileHandle,
    { onBytes = () => {} }: Bringing,
  ): Promise<void> {
    // One byte too many is enough for the check of the size to fail.
    let left = this.descriptor.size + 1;
    let pieces: Buffer[] = [];
    let gathered = 0;
    let writing = Promise.resolve();
    const write = async (taken: readonly Buffer[], length: number) => {
      await writeAllAt(file, taken, this.place.start + this.#received);
      this.#received += length;
      this.#tell();
    };
    for await (const some of source) {
      for (const piece of some) {
        const part = piece.subarray(0, left);
        this.#check?.add(part);
        pieces.push(part);
        gathered += part.length;
        left -= part.length;
        onBytes(part.length);
      }
      if (left === 0) break;
      if (gathered < writtenAtOnce) continue;
      await writing;
      writing = write(pieces, gathered);
      writing.catch(() => {}); // Thrown where it is awaited.
      pieces = [];
      gathered = 0;
    }
    await writing;
    if (gathered > 0) await write(pieces, gathered);
  }

  async #copy(path: string, file: FileHandle, { onBytes = () => {}, signal }: Bringing): Promise<void> {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    await using from = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const limit = this.descriptor.size + 1;
    const buffer = Buffer.allocUnsafeSlow(Math.min(limit, copiedAtOnce));
    for (;;) {
      signal.throwIfAborted();
      const length = Math.min(buffer.length, limit - this.#received);
      const { bytesRead } = await from.read(buffer, 0, length, this.#received);
      if (bytesRead === 0) return;
      this.#check?.add(buffer.subarray(0, bytesRead));
      await writeAllAt(file, [buffer.subarray(0, bytesRead)], this.place.start + this.#received);
      this.#received += bytesRead;
      this.#tell();
      onBytes(bytesRead);
    }
  }

  #tell(): void {
    for (const follower of this.#followers) follower.tell(this.#received, this.#ended !== undefined);
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  async *#read(limit: number): AsyncGenerator<Buffer> {
    const { path, start } = this.place;
    let file: FileHandle | undefined;
    try {
      for (let at = 0; at < limit; ) {
        if (at < this.#received) {
          file ??= await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
          const length = Math.min(arrivedAtOnce, this.#received - at, limit - at);
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, start + at);
          if (bytesRead === 0) return;
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        } else if (this.#ended === undefined) {
          await this.#more.promise;
        } else {
          if ("failure" in this.#ended) throw this.#ended.failure;
          return;
        }
      }
    } finally {
      await file?.close();
    }
  }
}

async function* inPieces(bytes: Readable): AsyncGenerator<readonly Buffer[]> {
  for await (const piece of bytes as AsyncIterable<Buffer>) yield [piece];
}
