import type { TarTime } from "./entry.ts";

/** A field or record that can't be read. The reader adds the member and its position. */
export class FieldError extends Error {
  override readonly name = "FieldError";
}

/** The byte of a space. */
export const space = 0x20;
const zero = 0x30;
const seven = 0x37;

/**
 * A number field of a header block: base-256 if its first bit is set (GNU), else octal digits among NULs and
 * spaces. An empty field is 0.
 * @throws FieldError for anything else, and beyond what a JavaScript number holds exactly (2^53)
 */
export function numberField(block: Buffer, start: number, length: number, what: string): number {
  if ((block[start] as number) & 0x80) return base256(block, start, length, what);
  return octal(block, start, start + length, what);
}

/** A field that may only be octal. */
export function octal(block: Buffer, start: number, end: number, what: string): number {
  let at = start;
  let last = end;
  while (at < last && isPadding(block[at] as number)) at++;
  while (last > at && isPadding(block[last - 1] as number)) last--;
  let value = 0;
  for (; at < last; at++) {
    const digit = block[at] as number;
    if (digit === 0) break; // A C string ends here, whatever follows.
    if (digit < zero || digit > seven) throw new FieldError(`${what} is not an octal number`);
    value = value * 8 + (digit - zero);
  }
  return value;
}

function isPadding(byte: number): boolean {
  return byte === 0 || byte === space;
}

/** GNU's base-256: a big-endian number in two's complement. The first bit is only a marker. */
function base256(block: Buffer, start: number, length: number, what: string): number {
  const negative = ((block[start] as number) & 0x40) !== 0;
  const inverted = negative ? 0xff : 0;
  let value = ((block[start] as number) ^ inverted) & 0x7f;
  for (let at = start + 1; at < start + length; at++) {
    value = value * 256 + ((block[at] as number) ^ inverted);
    if (value > Number.MAX_SAFE_INTEGER) throw new FieldError(`${what} is beyond 2^53`);
  }
  return negative ? -value - 1 : value;
}

const decimalForm = /^[+-]?[0-9]+$/;

/** A decimal number as PAX records and sparse maps write them, with an optional sign. */
export function decimal(text: string, what: string): number {
  if (!decimalForm.test(text)) throw new FieldError(`${what} is not a decimal number`);
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new FieldError(`${what} is beyond 2^53`);
  return value === 0 ? 0 : value; // never -0
}

/** A time of a PAX record (POSIX pax, "File Times"): decimal seconds, with an optional fraction and sign. */
export function paxTime(text: string, what: string): TarTime {
  const dot = text.indexOf(".");
  const seconds = decimal(dot < 0 ? text : text.slice(0, dot), what);
  const fraction = dot < 0 ? "" : text.slice(dot + 1);
  if (fraction === "") return { seconds, nanoseconds: 0 };
  if (/[^0-9]/.test(fraction)) throw new FieldError(`${what} is not a time`);
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  // The sign applies to the fraction too: -1.25 is 0.75 s after -2.
  if (text.startsWith("-") && nanoseconds > 0) {
    return { seconds: seconds - 1, nanoseconds: 1e9 - nanoseconds };
  }
  return { seconds, nanoseconds };
}
