import { constants, createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { Readable } from "node:stream";
import { UserError } from "../../host/errors.ts";
import { documentLimit } from "../verify.ts";

/** Bytes of a file on the disk: the whole file, or a member of an archive. */
export interface FileRange {
  /** A real path. */
  readonly path: string;
  readonly start: number;
  readonly size: number;
  /** Whether the range is the whole file. */
  readonly isWholeFile: boolean;
}

/** The files of an image, in a folder or in an archive. */
export interface ImageFiles {
  /** The param, for messages. */
  readonly where: string;
  /**
   * The file of this name, or undefined. Links are followed.
   * @throws UserError when the name or a link leads out, or to something that isn't a file
   */
  find(name: string): FileRange | undefined;
  /** The names of an archive's members. Undefined for a folder. */
  readonly names?: () => Iterable<string>;
}

/**
 * Removes `./` and leading and trailing slashes from a name. The archives of some tools have them, whether or not
 * their documents do.
 */
export function cleanName(name: string): string {
  return posix.normalize(name).replace(/^\/+/, "").replace(/^\.\//, "").replace(/\/$/, "");
}

/** The name in quotes, for a message: one line, without characters that a terminal would obey. */
export function shownName(name: string): string {
  return JSON.stringify(name.slice(0, 200)).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, escaped);
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`;
}

/** @throws UserError when there is no such file */
export function fileOf(files: ImageFiles, name: string, subject: string): FileRange {
  const found = files.find(name);
  if (found === undefined) throw new UserError(`${subject}: ${files.where} holds no ${shownName(name)}`);
  return found;
}

const rangeReadSize = 1024 * 1024;

/** The bytes of a range. */
export async function openRange({ path, start, size }: FileRange, signal: AbortSignal): Promise<Readable> {
  if (size === 0) return Readable.from([]);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
  const file = await open(path, flags);
  return createReadStream(path, {
    fd: file,
    start,
    end: start + size - 1,
    signal,
    highWaterMark: rangeReadSize,
  });
}

/**
 * Reads the bytes of a JSON document.
 * @param limit bytes
 * @throws UserError when it is larger
 */
export async function readDocumentFile(
  { path, start, size }: FileRange,
  subject: string,
  limit = documentLimit,
): Promise<Buffer> {
  if (size > limit) throw new UserError(`${subject}: has ${size} bytes; expected ${limit} at most`);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, start);
  return buffer.subarray(0, bytesRead);
}
