import type { TarTime } from "./entry.ts";
import { FieldError, numberField, octal, space } from "./numbers.ts";

export const blockSize = 512;

/** The format of a header block. `ustar` includes PAX, whose blocks are the same. */
export type TarFormat = "v7" | "ustar" | "gnu" | "star";

/** The fields of one header block, before extended headers are taken into account. */
export interface RawHeader {
  readonly format: TarFormat;
  readonly flag: string;
  readonly path: string;
  readonly link: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly atime: TarTime | undefined;
  readonly devMajor: number;
  readonly devMinor: number;
}

const checksumAt = 148;
const checksumLength = 8;

/** The sum of a block's bytes; 0 if all of them are zero. */
export function sumOf(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < blockSize; at++) sum += block[at] as number;
  return sum;
}

/**
 * Reads a header block of any format, as liberally as Go's archive/tar does.
 * @param sum the result of `sumOf` for this block
 * @throws FieldError
 */
export function parseHeader(block: Buffer, sum: number): RawHeader {
  checkSum(block, sum);
  const format = formatOf(block);
  const flag = String.fromCharCode(block[156] as number);
  const header = {
    format,
    flag,
    path: stringField(block, 0, 100),
    link: stringField(block, 157, 100),
    size: numberField(block, 124, 12, "size"),
    mode: numberField(block, 100, 8, "mode"),
    uid: numberField(block, 108, 8, "owner"),
    gid: numberField(block, 116, 8, "group"),
    mtime: numberField(block, 136, 12, "time"),
    atime: undefined as TarTime | undefined,
    devMajor: 0,
    devMinor: 0,
  };
  if (format === "v7") return header;
  header.devMajor = numberField(block, 329, 8, "device major");
  header.devMinor = numberField(block, 337, 8, "device minor");
  let prefix = "";
  if (format === "ustar") {
    prefix = stringField(block, 345, 155);
  } else if (format === "star") {
    prefix = stringField(block, 345, 131);
    header.atime = { seconds: numberField(block, 476, 12, "access time"), nanoseconds: 0 };
    numberField(block, 488, 12, "change time");
  } else {
    const times = gnuTimes(block);
    if (times === undefined) prefix = prefixOfOldGo(block);
    else header.atime = times.atime;
  }
  if (prefix !== "") header.path = `${prefix}/${header.path}`;
  return header;
}

function checkSum(block: Buffer, sum: number): void {
  const expected = octal(block, checksumAt, checksumAt + checksumLength, "checksum");
  let unsigned = sum + space * checksumLength;
  for (let at = checksumAt; at < checksumAt + checksumLength; at++) unsigned -= block[at] as number;
  if (expected === unsigned) return;
  // The tar of old SunOS summed signed characters.
  let signed = unsigned;
  for (let at = 0; at < blockSize; at++) {
    const inField = at >= checksumAt && at < checksumAt + checksumLength;
    if (!inField && (block[at] as number) >= 0x80) signed -= 256;
  }
  if (expected !== signed) throw new FieldError("this is not a tar header (its checksum is wrong)");
}

function formatOf(block: Buffer): TarFormat {
  if (!bytesAre(block, 257, "ustar")) return "v7";
  if (block[262] === 0) return bytesAre(block, 508, "tar\0") ? "star" : "ustar";
  return bytesAre(block, 262, "  \0") ? "gnu" : "v7";
}

function bytesAre(block: Buffer, start: number, text: string): boolean {
  for (let at = 0; at < text.length; at++) if (block[start + at] !== text.charCodeAt(at)) return false;
  return true;
}

/** A C string; the end of its field ends it too. */
function stringField(block: Buffer, start: number, length: number): string {
  let end = start;
  while (end < start + length && block[end] !== 0) end++;
  return end === start ? "" : block.toString("latin1", start, end);
}

/** The access time of a GNU header; `undefined` if its time fields hold something else. */
function gnuTimes(block: Buffer): { atime: TarTime | undefined } | undefined {
  try {
    const atime = block[345] === 0 ? undefined : numberField(block, 345, 12, "access time");
    if (block[357] !== 0) numberField(block, 357, 12, "change time");
    return { atime: atime === undefined ? undefined : { seconds: atime, nanoseconds: 0 } };
  } catch (error) {
    if (error instanceof FieldError) return undefined;
    throw error;
  }
}

/**
 * Before 1.8, Go's writer put a ustar prefix where GNU headers have their times (golang.org/issue/12594). Such
 * archives still exist, so plain ASCII that is not a time is taken as a prefix.
 */
function prefixOfOldGo(block: Buffer): string {
  const prefix = stringField(block, 345, 155);
  for (let at = 0; at < prefix.length; at++) if (prefix.charCodeAt(at) >= 0x80) return "";
  return prefix;
}
