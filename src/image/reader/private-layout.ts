import { createHash } from "node:crypto";
import { mkdir, mkdtemp, open, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { writeProblem } from "../../host/disk-errors.ts";
import { errorCode, UserError } from "../../host/errors.ts";
import { formatBytes } from "../../host/format.ts";
import type { Log } from "../../host/log.ts";
import { reportProgress } from "../../host/progress.ts";
import { uniqueId } from "../../host/unique-id.ts";
import { type Compression, compressionOf, decompress, layerMediaType } from "../compression/formats.ts";
import { headLength } from "../compression/magic.ts";
import { UndecompressableError } from "../compression/undecompressable.ts";
import type { Descriptor } from "../descriptor.ts";
import { type DiffId, type Digest, digestOf } from "../digest.ts";
import { blobPath } from "../layout.ts";
import { layoutIndex, layoutMarker } from "../layout-writer.ts";
import { type FileRange, openRange, readDocumentFile } from "./image-files.ts";

export interface PrivateLayoutOptions {
  /** The param, for messages. */
  readonly name: string;
  readonly workspace: string;
  readonly log: Pick<Log, "line">;
  readonly signal: AbortSignal;
}

/**
 * A layout in a private folder, from which BuildKit reads one image. A blob that is a file of its own is linked
 * (symlink); a blob inside an archive is copied.
 */
export class PrivateLayout {
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly #options: PrivateLayoutOptions;

  private constructor(folder: string, options: PrivateLayoutOptions) {
    this.folder = folder;
    this.signal = options.signal;
    this.#options = options;
  }

  static async create(options: PrivateLayoutOptions): Promise<PrivateLayout> {
    const folder = await mkdtemp(join(options.workspace, "image-"));
    await mkdir(join(folder, "blobs/sha256"), { recursive: true });
    return new PrivateLayout(folder, options);
  }

  /** Adds a document that is in memory. */
  async addDocument(mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
    const digest = digestOf(bytes);
    await writeSmallFile(this.#pathOf(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /**
   * Adds a blob.
   * @throws UserError when it doesn't match its descriptor; of a whole file only the size is checked
   */
  async addBlob(descriptor: Descriptor, range: FileRange): Promise<void> {
    const { name } = this.#options;
    const { digest, size } = descriptor;
    if (range.size !== size) {
      throw new UserError(
        `${name}: layer ${digest} has ${range.size} bytes; its manifest says ${size}: it is damaged`,
      );
    }
    // BuildKit checks the digest of what it reads.
    if (range.isWholeFile) return this.#link(range.path, digest);
    const found = await this.#copy(range);
    if (found === digest) return;
    throw new UserError(`${name}: blob ${digest} has digest ${found}: it is damaged`);
  }

  /**
   * Adds a layer whose diff ID is known, in the compression that it has.
   * @throws UserError when its plain bytes don't match the diff ID
   */
  async addLayer(diffId: DiffId, range: FileRange): Promise<Descriptor> {
    const { name } = this.#options;
    const head = await readDocumentFile({ ...range, size: Math.min(range.size, headLength) }, name);
    const compression = compressionOf(head);
    const digest = range.isWholeFile ? await this.#digestOf(range) : await this.#copy(range);
    const plain = compression === "none" ? digest : await this.#plainDigest(range, compression);
    if (plain !== diffId) {
      throw new UserError(`${name}: a layer has diff ID ${plain}, its config says ${diffId}: it is damaged`);
    }
    if (range.isWholeFile) await this.#link(range.path, digest);
    return { mediaType: layerMediaType(compression), digest, size: range.size };
  }

  /** Completes the layout. BuildKit itself only needs the blobs. */
  async finish(top: Descriptor): Promise<void> {
    await writeSmallFile(join(this.folder, "oci-layout"), layoutMarker);
    await writeSmallFile(join(this.folder, "index.json"), layoutIndex(top, []));
  }

  #pathOf(digest: Digest): string {
    return join(this.folder, blobPath(digest));
  }

  async #link(path: string, digest: Digest): Promise<void> {
    await symlink(path, this.#pathOf(digest)).catch((thrown: unknown) => {
      if (errorCode(thrown) !== "EEXIST") throw thrown;
    });
  }

  /** Copies a blob to the path of its digest, and returns the digest. */
  async #copy(range: FileRange): Promise<Digest> {
    const file = join(this.folder, `incoming-${uniqueId()}`);
    try {
      const hash = createHash("sha256");
      const pieces = this.#pieces(range, "copied");
      async function* hashed() {
        for await (const piece of pieces) {
          hash.update(piece);
          yield piece;
        }
      }
      await using output = await open(file, "w", 0o600);
      await output.writeFile(hashed(), { signal: this.#options.signal });
      const digest = `sha256:${hash.digest("hex")}` as Digest;
      await rename(file, this.#pathOf(digest));
      return digest;
    } catch (thrown) {
      const problem = await writeProblem(thrown, file, range.size);
      await rm(file, { force: true });
      throw problem;
    }
  }

  async #digestOf(range: FileRange): Promise<Digest> {
    const hash = createHash("sha256");
    for await (const piece of this.#pieces(range, "read")) hash.update(piece);
    return `sha256:${hash.digest("hex")}` as Digest;
  }

  async #plainDigest(range: FileRange, compression: Compression): Promise<Digest> {
    const { name } = this.#options;
    const hash = createHash("sha256");
    try {
      for await (const piece of decompress(compression, this.#pieces(range, "checked"))) hash.update(piece);
    } catch (thrown) {
      if (!(thrown instanceof UndecompressableError)) throw thrown;
      throw new UserError(`${name}: a layer can't be decompressed (${thrown.message}): it is damaged`);
    }
    return `sha256:${hash.digest("hex")}` as Digest;
  }

  /** The bytes of a range. Logs progress if reading takes long. */
  async *#pieces(range: FileRange, done: string): AsyncGenerator<Buffer> {
    const { name, log, signal } = this.#options;
    let count = 0;
    using _ = reportProgress(
      log,
      () => `${name}: ${done} ${formatBytes(count)} of a layer of ${formatBytes(range.size)}`,
    );
    for await (const piece of (await openRange(range, signal)) as AsyncIterable<Buffer>) {
      count += piece.length;
      yield piece;
    }
  }
}
