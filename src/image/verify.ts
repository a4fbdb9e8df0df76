import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { constants, type FileHandle, open } from "node:fs/promises";
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { UserError } from "../host/errors.ts";
import type { BlobSource, Blobs } from "./blobs.ts";
import type { Descriptor } from "./descriptor.ts";
import { digestOf } from "./digest.ts";

/** The most bytes of a manifest, index or config. Registries limit them too. */
export const documentLimit = 4 * 1024 * 1024;

/**
 * Passes `source` on, and checks its size and SHA-256 against the descriptor as the bytes pass. If anything is
 * wrong, the stream ends in a UserError that names the blob and `where`. So nothing that is read may be used before
 * the end. Destroying the stream destroys `source`. An error of `source` is passed on unchanged.
 */
export function verified(
  descriptor: Descriptor,
  source: Readable,
  { where, signal }: { where: string; signal: AbortSignal },
): Readable {
  const blob = new BlobCheck(descriptor, where);
  const check = new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      try {
        blob.add(chunk);
      } catch (thrown) {
        done(thrown as Error);
        return;
      }
      done(null, chunk);
    },
    flush(done) {
      try {
        blob.end();
      } catch (thrown) {
        done(thrown as Error);
        return;
      }
      done();
    },
  });
  // The reader of `check` gets the error; `pipeline` only carries it there and ends the source.
  pipeline(source, check, { signal }).catch(() => {});
  return check;
}

/**
 * Checks size and SHA-256 of a blob against its descriptor, piece by piece. Each call throws a UserError if it
 * finds the blob to be wrong.
 */
export class BlobCheck {
  readonly #descriptor: Descriptor;
  readonly #where: string;
  readonly #hash = createHash("sha256");
  #size = 0;

  constructor(descriptor: Descriptor, where: string) {
    this.#descriptor = descriptor;
    this.#where = where;
  }

  add(bytes: Uint8Array): void {
    this.#size += bytes.length;
    if (this.#size > this.#descriptor.size) {
      throw damaged(this.#descriptor, this.#where, `it is longer than its ${this.#descriptor.size} bytes`);
    }
    this.#hash.update(bytes);
  }

  /** All bytes have been added. */
  end(): void {
    const found = { size: this.#size, digest: `sha256:${this.#hash.digest("hex")}` };
    checkFound(this.#descriptor, found, this.#where);
  }
}

/** Size and digest of bytes that were read. */
export interface FoundBlob {
  readonly size: number;
  readonly digest: string;
}

/** @throws UserError that names the blob and `where`, unless these are its size and digest */
export function checkFound(descriptor: Descriptor, found: FoundBlob, where: string): void {
  const { digest, size } = descriptor;
  if (found.size > size) throw damaged(descriptor, where, `it is longer than its ${size} bytes`);
  if (found.size < size) throw damaged(descriptor, where, `it ends after ${found.size} of its ${size} bytes`);
  if (found.digest !== digest) throw damaged(descriptor, where, `its bytes have digest ${found.digest}`);
}

/** Bytes of a file to read at once. */
const verifiedReadSize = 512 * 1024;

/** Bytes of a file that is read without another thread. For so few the way there and back takes longer than reading. */
const smallFile = 64 * 1024;

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * The bytes of a blob, verified as by {@link verified}. A piece is valid until the next is requested, because a
 * local file is always read into the same two buffers. A stream would make new buffers, and gigabytes of them would
 * wait for the garbage collector.
 */
export async function* verifiedPieces(
  blobs: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const path = blobs.file(descriptor);
  if (path === undefined) yield* (await openVerified(blobs, descriptor, signal)) as AsyncIterable<Uint8Array>;
  else if (descriptor.size <= smallFile)
    yield verifiedSmallFile(path, new BlobCheck(descriptor, blobs.where), descriptor.size);
  else yield* verifiedFile(path, new BlobCheck(descriptor, blobs.where), { size: descriptor.size, signal });
}

/** A small file, verified. Should it have grown, no more of it is read than is needed to tell. */
function verifiedSmallFile(path: string, blob: BlobCheck, size: number): Uint8Array {
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const buffer = Buffer.allocUnsafe(size + 1);
    const bytes = buffer.subarray(0, readSync(fd, buffer));
    blob.add(bytes);
    blob.end();
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** As {@link verifiedPieces}, for a file. The next piece is read and hashed while one is used. */
async function* verifiedFile(
  path: string,
  blob: BlobCheck,
  { size, signal }: { readonly size: number; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, undefined> {
  await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const length = Math.max(1, Math.min(size, verifiedReadSize));
  let [buffer, other] = [Buffer.allocUnsafeSlow(length), Buffer.allocUnsafeSlow(length)];
  const next = (into: Buffer) => nextPiece(file, { blob, into, signal });
  let coming = next(buffer);
  try {
    for (let piece = await coming; piece.length > 0; piece = await coming) {
      [buffer, other] = [other, buffer];
      coming = next(buffer);
      coming.catch(() => {}); // Its error is thrown when it is awaited, after this piece has been used.
      yield piece;
    }
  } finally {
    await coming.catch(() => {});
  }
  blob.end();
}

/** Reads all pieces, only so that they are verified. */
export async function drain(pieces: AsyncIterator<Uint8Array>): Promise<void> {
  while ((await pieces.next()).done !== true);
}

async function nextPiece(
  file: FileHandle,
  { blob, into, signal }: { blob: BlobCheck; into: Buffer; signal: AbortSignal },
): Promise<Buffer> {
  signal.throwIfAborted();
  const { bytesRead } = await file.read(into, 0, into.length, null);
  const piece = into.subarray(0, bytesRead);
  blob.add(piece);
  return piece;
}

/** Opens a blob and verifies it as it is read: see {@link verified}. */
export async function openVerified(
  blobs: Pick<Blobs, "where" | "open">,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Readable> {
  signal.throwIfAborted();
  return verified(descriptor, await blobs.open(descriptor, signal), { where: blobs.where, signal });
}

/**
 * Reads and verifies a manifest, index or config. One of more than `limit` bytes is refused before any byte is
 * read. Inline `data` (OCI image-spec, descriptor.md#embedded-content) is used instead of the blob, and must match
 * the descriptor too.
 * @throws UserError naming the blob and where it is
 */
export async function readDocument(
  blobs: BlobSource,
  descriptor: Descriptor,
  { limit = documentLimit, signal }: { limit?: number; signal: AbortSignal },
): Promise<Uint8Array> {
  if (descriptor.size > limit) {
    throw new UserError(
      `${blobs.where}: ${descriptor.digest} (${descriptor.mediaType}) has ${descriptor.size} bytes; such a document may have ${limit} at most`,
    );
  }
  const inline = inlineData(descriptor, blobs.where);
  if (inline !== undefined) return inline;
  const pieces: Uint8Array[] = [];
  for await (const piece of verifiedPieces(blobs, descriptor, signal)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces);
}

/**
 * The content that a descriptor carries in its `data`, in base64; undefined if there is none.
 * @throws UserError when it doesn't match size and digest
 */
export function inlineData(descriptor: Descriptor, where: string): Uint8Array | undefined {
  if (descriptor.data === undefined) return undefined;
  const bytes = Buffer.from(descriptor.data, "base64");
  const matches = bytes.length === descriptor.size && digestOf(bytes) === descriptor.digest;
  if (!matches) throw damaged(descriptor, where, "its inline data has another size or digest");
  return bytes;
}

function damaged({ digest }: Descriptor, where: string, what: string): UserError {
  return new UserError(
    `${where}: blob ${digest} is not what its descriptor says: ${what}. It was damaged or replaced; store the image again`,
  );
}
