import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { extract, type Header } from "tar-stream";
import { errorCode, messageOf, UserError } from "../../host/errors.ts";
import { compressionOf, decompress } from "../compression/formats.ts";
import { headLength } from "../compression/magic.ts";
import { UndecompressableError } from "../compression/undecompressable.ts";
import { documentLimit } from "../verify.ts";

/** The most bytes of all documents together, and the most members that an archive may have. */
const documentsLimit = 64 * 1024 * 1024;
const memberLimit = 100_000;

/** What an archive holds, by cleaned name; the content of what is small enough to be a document. */
export interface ArchiveIndex {
  readonly members: ReadonlyMap<string, ArchiveMember>;
  readonly documents: ReadonlyMap<string, Buffer>;
}

export interface ArchiveMember {
  readonly kind: "file" | "link" | "other";
  readonly size: number;
  /** Of a link: the cleaned name it leads to; empty when that is outside of the archive. */
  readonly target: string;
}

/** Does something with each member, whose content it must read to its end. */
type Visit = (name: string, header: Header, content: Readable) => Promise<void>;

/**
 * Reads an archive from its start to its end, gzip around it or not.
 * @throws UserError when it is no tar archive, or is cut
 */
export async function visitMembers(
  path: string,
  subject: string,
  { signal, visit }: { signal: AbortSignal; visit: Visit },
): Promise<void> {
  const file = createReadStream(path, { signal, highWaterMark: 1024 * 1024 });
  const archive = extract();
  const compression = compressionOf(await headOf(path));
  const source = compression === "none" ? file : Readable.from(decompress(compression, file));
  // An error of either stream ends the archive's reader, which is where it is met.
  for (const stream of new Set<Readable>([file, source])) {
    stream.once("error", (error) => archive.destroy(error));
  }
  source.pipe(archive);
  try {
    for await (const entry of archive) {
      const member = entry as unknown as Readable & { header: Header };
      await visit(cleanName(member.header.name), member.header, member);
      member.resume();
    }
  } catch (thrown) {
    const isBroken = thrown instanceof UndecompressableError;
    if ((thrown instanceof UserError && !isBroken) || signal.aborted || errorCode(thrown) !== undefined)
      throw thrown;
    throw new UserError(
      `${subject}: is no whole tar archive (${messageOf(thrown)}); expected what "docker save" writes, an OCI layout, or the folder of a get`,
    );
  } finally {
    file.destroy();
  }
}

/** Notes all members, and keeps what may be a document, within limits that are checked before memory is taken. */
export async function indexArchive(
  path: string,
  subject: string,
  signal: AbortSignal,
): Promise<ArchiveIndex> {
  const members = new Map<string, ArchiveMember>();
  const documents = new Map<string, Buffer>();
  let total = 0;
  const visit: Visit = async (name, header, content) => {
    const size = header.size ?? 0;
    if (members.size >= memberLimit) {
      throw new UserError(`${subject}: the archive has over ${memberLimit} members; this is no image`);
    }
    if (members.has(name) && /(^|\.)(manifest|index)\.json$|^oci-layout$/.test(name)) {
      throw new UserError(`${subject}: the archive has ${name} twice; write it anew`);
    }
    members.set(name, memberOf(name, header));
    if (header.type !== "file" || !mayBeDocument(name) || size > documentLimit) return;
    total += size;
    if (total > documentsLimit) {
      throw new UserError(`${subject}: the archive's documents are over ${documentsLimit} bytes`);
    }
    documents.set(name, await buffer(content));
  };
  await visitMembers(path, subject, { signal, visit });
  return { members, documents };
}

function mayBeDocument(name: string): boolean {
  return name.endsWith(".json") || name === "oci-layout" || /(^|\/)[0-9a-f]{64}$/.test(name);
}

function memberOf(name: string, { type, size, linkname }: Header): ArchiveMember {
  if (type === "file" || type === "contiguous-file") return { kind: "file", size, target: "" };
  if (type !== "symlink" && type !== "link") return { kind: "other", size: 0, target: "" };
  const target = linkname ?? "";
  // A symlink's target counts from its own folder, a hardlink's from the archive's root (tar(5)).
  const joined = type === "symlink" ? posix.join(posix.dirname(name), target) : target;
  const outside = target.startsWith("/") || cleanName(joined).startsWith("..");
  return { kind: "link", size: 0, target: outside ? "" : cleanName(joined) };
}

/**
 * The file that a name of the archive means, links within it followed.
 * @throws UserError when there is none, or when a link leads outside or in circles
 */
export function followName({ members }: ArchiveIndex, name: string, subject: string): string {
  const seen = new Set<string>();
  let current = cleanName(name);
  for (;;) {
    const shown = JSON.stringify(name.slice(0, 200));
    const member = members.get(current);
    if (posix.isAbsolute(name) || current.startsWith("..") || current === "") {
      throw new UserError(`${subject}: ${shown} leads out of the archive`);
    }
    if (member === undefined) throw new UserError(`${subject}: the archive has no ${shown}`);
    if (member.kind === "file") return current;
    if (member.kind === "other") throw new UserError(`${subject}: ${shown} is no file of the archive`);
    if (seen.has(current)) throw new UserError(`${subject}: ${shown} is a link that leads back to itself`);
    seen.add(current);
    current = member.target;
  }
}

/** The content of a document. @throws UserError when it is larger than a document may be */
export function documentOf(index: ArchiveIndex, name: string, subject: string): Buffer {
  const file = followName(index, name, subject);
  const document = index.documents.get(file);
  if (document !== undefined) return document;
  throw new UserError(
    `${subject}: ${JSON.stringify(name)} has ${index.members.get(file)?.size ?? 0} bytes; such a document may have ${documentLimit} at most`,
  );
}

function cleanName(name: string): string {
  return posix.normalize(name).replace(/^\.\//, "").replace(/\/$/, "");
}

/** The first bytes of a file, which tell what it is compressed with. */
export async function headOf(path: string): Promise<Buffer> {
  await using file = await open(path, "r");
  const { buffer: head, bytesRead } = await file.read(Buffer.alloc(headLength), 0, headLength, 0);
  return head.subarray(0, bytesRead);
}
