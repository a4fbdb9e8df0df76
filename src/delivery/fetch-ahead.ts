import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { writeProblem } from "../host/disk-errors.ts";
import { mapAtOnce } from "../host/map-at-once.ts";
import type { Blobs } from "../image/blobs.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { type Digest, hexOf } from "../image/digest.ts";

export interface FetchAheadOptions {
  /** A folder to make for the bytes. It is removed when the returned blobs are disposed of. */
  readonly folder: string;
  readonly signal: AbortSignal;
}

const fetchedAtOnce = 4;
/** Bytes of one write. The network delivers much smaller pieces. */
const writtenAtOnce = 256 * 1024;
const fetchedReadSize = 512 * 1024;

/**
 * Returns the same blobs, but starts to fetch the wanted ones into files, in their order, several at a time. A
 * reader of such a blob gets its bytes as they arrive, and any number of readers share one fetch. As with all
 * blobs, what is read is not verified.
 */
export async function fetchAhead(
  blobs: Blobs,
  wanted: readonly Descriptor[],
  { folder, signal }: FetchAheadOptions,
): Promise<Blobs & AsyncDisposable> {
  await mkdir(folder, { mode: 0o700 });
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const coming = new Map<Digest, PartialBlob>();
  for (const descriptor of wanted) {
    coming.set(descriptor.digest, new PartialBlob(descriptor, join(folder, hexOf(descriptor.digest))));
  }
  const fetching = mapAtOnce([...coming.values()], { limit: fetchedAtOnce, signal: either }, (blob) =>
    blob.fetch(blobs, either),
  ).catch(() => {}); // Each reader gets the error of its blob.
  return {
    where: blobs.where,
    open: async (descriptor, reading) =>
      coming.get(descriptor.digest)?.open() ?? (await blobs.open(descriptor, reading)),
    file: (descriptor) => coming.get(descriptor.digest)?.whole() ?? blobs.file(descriptor),
    kept: blobs.kept,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await fetching;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A blob that is being fetched into a file. */
class PartialBlob {
  readonly #descriptor: Descriptor;
  readonly #path: string;
  #received = 0;
  #ended: { readonly failure?: unknown } | undefined;
  #more = Promise.withResolvers<void>();

  constructor(descriptor: Descriptor, path: string) {
    this.#descriptor = descriptor;
    this.#path = path;
  }

  /** Never rejects: the readers get the error. */
  async fetch(blobs: Blobs, signal: AbortSignal): Promise<void> {
    try {
      await using file = await open(this.#path, "wx", 0o600);
      await this.#fill(file, await blobs.open(this.#descriptor, signal));
      this.#ended = {};
    } catch (thrown) {
      this.#ended = { failure: await writeProblem(thrown, this.#path, this.#descriptor.size) };
    }
    this.#tell();
  }

  async #fill(file: FileHandle, bytes: Readable): Promise<void> {
    // One byte too many is enough for the verification to fail.
    let left = this.#descriptor.size + 1;
    let pieces: Buffer[] = [];
    let gathered = 0;
    const write = async () => {
      if (gathered === 0) return;
      await file.writeFile(Buffer.concat(pieces));
      this.#received += gathered;
      pieces = [];
      gathered = 0;
      this.#tell();
    };
    for await (const piece of bytes as AsyncIterable<Buffer>) {
      const part = piece.subarray(0, left);
      pieces.push(part);
      gathered += part.length;
      left -= part.length;
      if (gathered >= writtenAtOnce) await write();
      if (left === 0) break;
    }
    await write();
  }

  #tell(): void {
    this.#more.resolve();
    this.#more = Promise.withResolvers();
  }

  /** The file, once it is complete. */
  whole(): string | undefined {
    const isWhole = this.#ended !== undefined && this.#received === this.#descriptor.size;
    return isWhole && !("failure" in (this.#ended ?? {})) ? this.#path : undefined;
  }

  open(): Readable {
    return Readable.from(this.#read(), { objectMode: false });
  }

  async *#read(): AsyncGenerator<Buffer> {
    let file: FileHandle | undefined;
    try {
      for (let at = 0; ; ) {
        if (at < this.#received) {
          file ??= await open(this.#path);
          const length = Math.min(fetchedReadSize, this.#received - at);
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
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
