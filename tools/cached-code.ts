/**
 * Removes Node's cached code of its own modules from a start-up snapshot. Everything else stays, compiled functions
 * included. A machine whose processor has other instructions couldn't use that code, and refused a snapshot with it.
 *
 * In the file, numbers have the byte order of x86 and arm64, and lengths eight bytes (Node's src/node_snapshotable.cc,
 * "Layout of the snapshot blob").
 * @returns undefined if the file has another form
 */
export function withoutCachedCode(file: Buffer): Buffer | undefined {
  // A magic number and the type come first, then Node's version, architecture and platform.
  let flags = 5;
  for (const _ of ["version", "architecture", "platform"]) flags = endOfPart(file, flags);
  const heap = flags + 4;
  if (heap + 4 > file.length || file.readUInt32LE(flags) !== 0) return undefined;
  // What follows V8's heap is of many kinds. The cached code comes last.
  let code = heap + 4 + file.readInt32LE(heap);
  while (code <= file.length && !isCachedCode(file, code)) code++;
  if (code > file.length) return undefined;
  const rest = Buffer.concat([file.subarray(0, code), Buffer.alloc(8)]);
  rest.writeUInt32LE(withoutCodeCache, flags);
  return rest;
}

/** In the flags. */
const withoutCodeCache = 1;

/** Whether a list begins there that has a name and the code of each module, and ends with the file. */
function isCachedCode(file: Buffer, at: number): boolean {
  if (at + 8 > file.length) return false;
  let parts = 2 * Number(file.readBigUInt64LE(at));
  if (parts === 0) return false;
  let end = at + 8;
  for (; parts > 0 && end < file.length; parts--) end = endOfPart(file, end);
  return parts === 0 && end === file.length;
}

/** The end of bytes that have their length before them. It is beyond the file if they aren't such bytes. */
function endOfPart(file: Buffer, at: number): number {
  if (at + 8 > file.length) return Number.POSITIVE_INFINITY;
  return at + 8 + Number(file.readBigUInt64LE(at));
}
