import { decimal, FieldError, space } from "./numbers.ts";

/** PAX records of one extended header, key to value, one character a byte. The last record of a key counts. */
export type PaxRecords = ReadonlyMap<string, string>;

/** For a member without an extended header. */
export const noRecords: PaxRecords = new Map();

const newline = 0x0a;
const equals = 0x3d;

/** The key that holds the pairs of sparse format 0.0, in the form of format 0.1. */
const sparseMap = "GNU.sparse.map";

/**
 * Reads the records `"%d %s=%s\n"` of a PAX extended header (POSIX pax, "pax Extended Header"). Values are bytes:
 * they may hold newlines, `=` and, except for names, NUL.
 * @throws FieldError with the reason
 */
export function parsePax(body: Buffer): PaxRecords {
  const records = new Map<string, string>();
  // GNU sparse 0.0 repeats its keys for each run, so the pairs are collected in a list.
  const pairs: string[] = [];
  let at = 0;
  while (at < body.length) {
    const gap = body.indexOf(space, at);
    if (gap < 0) throw new FieldError("PAX record without a length");
    // A length with more digits than this is wrong in any case.
    const length = gap - at > 32 ? 0 : decimal(body.toString("latin1", at, gap), "PAX record length");
    const end = at + length;
    if (length < 5 || end > body.length || end <= gap + 1 || body[end - 1] !== newline) {
      throw new FieldError("bad PAX record length");
    }
    const middle = body.indexOf(equals, gap + 1);
    if (middle < 0 || middle >= end - 1) throw new FieldError("PAX record without =");
    const key = body.toString("latin1", gap + 1, middle);
    const value = body.toString("latin1", middle + 1, end - 1);
    checkRecord(key, value);
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") {
      const expected = pairs.length % 2 === 0 ? "GNU.sparse.offset" : "GNU.sparse.numbytes";
      if (key !== expected || value.includes(",")) throw new FieldError("bad GNU sparse map");
      pairs.push(value);
    } else {
      records.set(key, value);
    }
    at = end;
  }
  if (pairs.length > 0) records.set(sparseMap, pairs.join(","));
  return records;
}

function checkRecord(key: string, value: string): void {
  if (key === "") throw new FieldError("PAX record without a key");
  const isName = key === "path" || key === "linkpath" || key === "uname" || key === "gname";
  // Go's archive/tar allows NUL in any other value, and file capabilities need it.
  if (isName ? value.includes("\0") : key.includes("\0"))
    throw new FieldError(`NUL in PAX ${isName ? key : "key"}`);
}
