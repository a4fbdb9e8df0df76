import { closeSync, openSync, writeSync } from "node:fs";
import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { join, posix } from "node:path";
import { writeProblem } from "../../host/disk-errors.ts";
import { UserError } from "../../host/errors.ts";
import { formatBytes } from "../../host/format.ts";
import type { Log } from "../../host/log.ts";
import { reportProgress } from "../../host/progress.ts";
import { uniqueId } from "../../host/unique-id.ts";
import { type Compression, compressionOf, decompress } from "../compression/formats.ts";
import { headLength } from "../compression/magic.ts";
import { UndecompressableError } from "../compression/undecompressable.ts";
import type { TarEntry } from "../tar/entry.ts";
import { TarError } from "../tar/error.ts";
import { blockSize } from "../tar/header.ts";
import { TarReader } from "../tar/reader.ts";
import { cleanName, type FileRange, type ImageFiles, openRange, shownName } from "./image-files.ts";
import { formatHeadLength, otherFormat } from "./no-image.ts";

export interface ImageArchive {
  /** The param, for messages. */
  readonly name: string;
  /** A real path. */
  readonly path: string;
  /** A private folder, for the members of a compressed archive. */
  readonly workspace: string;
  readonly log: Pick<Log, "line">;
  readonly signal: AbortSignal;
}

type ArchiveMember =
  | { readonly kind: "file"; readonly range: FileRange }
  /** `target`: the cleaned name that the link leads to; empty if that is outside the archive. */
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "other" };

/** The members of an archive, by cleaned name. */
class ArchiveMembers {
  readonly #where: string;
  readonly #byName = new Map<string, ArchiveMember>();
  /** The number of members that were added. Repeated names count each time. */
  count = 0;

  constructor(where: string) {
    this.#where = where;
  }

  /** @returns whether it is a file whose content is wanted */
  add(entry: TarEntry, range: FileRange): boolean {
    const path = cleanName(utf8Of(entry.path));
    this.count++;
    if (this.count > memberLimit) {
      throw new UserError(
        `${this.#where}: the archive has over ${memberLimit} members; this is not an image`,
      );
    }
    if (this.#byName.has(path) && ["manifest.json", "index.json", "oci-layout"].includes(path)) {
      throw new UserError(`${this.#where}: the archive has ${path} twice; write it again`);
    }
    const member = memberOf(entry, path, range);
    this.#byName.set(path, member);
    return member.kind === "file";
  }

  names(): Iterable<string> {
    return this.#byName.keys();
  }

  /**
   * The file of this name, or undefined. Links are followed.
   * @throws UserError when the name or a link leads out, or to something that isn't a file
   */
  find(name: string): FileRange | undefined {
    const seen = new Set<string>();
    const subject = `${this.#where}: ${shownName(name)}`;
    let current = cleanName(name);
    for (;;) {
      if (current.startsWith("..") || current === "")
        throw new UserError(`${subject} leads out of the archive`);
      const member = this.#byName.get(current);
      if (member === undefined) return undefined;
      if (member.kind === "file") return member.range;
      if (member.kind === "other") throw new UserError(`${subject} is not a file in the archive`);
      if (seen.has(current)) throw new UserError(`${subject} is a link that leads back to itself`);
      seen.add(current);
      current = member.target;
    }
  }
}

/** No real image comes near this limit. It bounds the memory for the names. */
const memberLimit = 100_000;
/** Bytes of an uncompressed archive to read at once while looking for headers. */
const windowSize = 64 * 1024;

/**
 * The members of a tar archive. In an uncompressed archive only the headers are read, and the content stays where
 * it is, whatever its size. A compressed archive is decompressed once, each member into a file of its own.
 * @throws UserError when it isn't a tar archive, or is cut short
 */
export async function archiveFiles(archive: ImageArchive): Promise<ImageFiles> {
  const { name, path, signal } = archive;
  const head = await headOf(path);
  const compression = compressionOf(head);
  const members = new ArchiveMembers(name);
  try {
    if (compression === "none") await scan(archive, members);
    else await extractAll(archive, compression, members);
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof TarError || thrown instanceof UndecompressableError)) throw thrown;
    const other = otherFormat(head);
    if (other !== undefined) throw new UserError(`${name}: ${other}`);
    throw new UserError(
      `${name}: is not a complete tar archive (${thrown.message}); expected what "docker save" writes, an OCI layout, or the folder of a get`,
    );
  }
  return { where: name, find: (wanted) => members.find(wanted), names: () => members.names() };
}

async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  const length = Math.max(headLength, formatHeadLength);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0);
  return buffer.subarray(0, bytesRead);
}

async function scan({ name, path, signal, log }: ImageArchive, members: ArchiveMembers): Promise<void> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  let position = 0;
  const reader = new TarReader({
    entry: (entry) => {
      const range = { path, start: position + blockSize, size: entry.size, isWholeFile: false };
      if (range.start + entry.size > size && entry.runs === undefined) {
        const at = { offset: entry.offset, member: entry.path };
        throw new TarError("the archive is incomplete: it ends in its content", at);
      }
      members.add(entry, range);
    },
    content: () => {},
    close: () => {},
  });
  using _ = reportProgress(log, () => `${name}: read ${formatBytes(position)} of ${formatBytes(size)}`);
  for await (const window of windows(file, signal, () => position)) {
    for (const start = position; position < start + window.length && !reader.isAtEnd; ) {
      const block = window.subarray(position - start, position - start + blockSize);
      reader.write(block);
      position += block.length + reader.skipContent();
    }
    if (reader.isAtEnd) return;
  }
  reader.end();
}

/** Pieces of a file. Each is read at the `position` of that moment. */
async function* windows(
  file: FileHandle,
  signal: AbortSignal,
  position: () => number,
): AsyncGenerator<Buffer> {
  const buffer = Buffer.alloc(windowSize);
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, windowSize, position());
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function extractAll(
  archive: ImageArchive,
  compression: Compression,
  members: ArchiveMembers,
): Promise<void> {
  const { name, path, workspace, signal, log } = archive;
  const folder = join(workspace, `members-${uniqueId()}`);
  await mkdir(folder, { mode: 0o700 });
  const { size } = await stat(path);
  let read = 0;
  async function* counted(bytes: AsyncIterable<Buffer>) {
    for await (const chunk of bytes) {
      read += chunk.length;
      yield chunk;
    }
  }
  let output: number | undefined;
  const close = () => {
    if (output !== undefined) closeSync(output);
    output = undefined;
  };
  const reader = new TarReader({
    entry: (entry) => {
      const file = join(folder, String(members.count));
      const range = { path: file, start: 0, size: entry.size, isWholeFile: true };
      if (members.add(entry, range)) output = openSync(file, "w", 0o600);
    },
    content: (bytes, at) => {
      if (output !== undefined) writeMemberBytes(output, bytes, at);
    },
    close,
  });
  using _ = reportProgress(log, () => `${name}: read ${formatBytes(read)} of ${formatBytes(size)}`);
  try {
    const bytes = await openRange({ path, start: 0, size, isWholeFile: true }, signal);
    for await (const chunk of decompress(compression, counted(bytes))) reader.write(chunk);
    reader.end();
  } catch (thrown) {
    throw await writeProblem(thrown, folder);
  } finally {
    close();
  }
}

function writeMemberBytes(file: number, bytes: Buffer, at: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(file, bytes, done, bytes.length - done, at + done);
}

function memberOf(
  { kind, link, runs }: Pick<TarEntry, "kind" | "link" | "runs">,
  path: string,
  range: FileRange,
): ArchiveMember {
  // The bytes of a sparse member are not contiguous in the archive. No tool writes images like that.
  if (kind === "file" && (runs === undefined || range.isWholeFile)) return { kind: "file", range };
  if (kind !== "symlink" && kind !== "hardlink") return { kind: "other" };
  const target = utf8Of(link);
  // A symlink's target is relative to the link's folder, a hardlink's to the archive's root (tar(5)).
  if (kind === "hardlink") return { kind: "link", target: inside(cleanName(target)) };
  const isAbsolute = target.startsWith("/");
  return {
    kind: "link",
    target: isAbsolute ? "" : inside(cleanName(posix.join(posix.dirname(path), target))),
  };
}

function inside(name: string): string {
  return name.startsWith("..") ? "" : name;
}

function utf8Of(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
