import assert from "node:assert/strict";
import { type GoReader, type Listing, readByOurs } from "./go-tar.ts";

/** Where ours is stricter than Go's reader by design (see TarReader), or earlier: Go sees the last at a file's end. */
const stricter = [
  /a PAX name and a GNU long name contradict each other/,
  /is beyond 2\^53/,
  /sparse map names \d+ bytes of data, \d+ are stored/,
];

/**
 * Asserts that our reader finds in an archive what Go's does: the same members up to the same error or the end.
 * @param cuts positions at which the archive is cut into chunks, ascending
 * @returns whether the archive is whole
 */
export async function assertReadAsByGo(
  go: GoReader,
  archive: Buffer,
  cuts: readonly number[],
): Promise<boolean> {
  const ours = readByOurs(archive, cuts);
  const theirs = await go.read(archive);
  const said = say(ours, theirs);
  const isStricter = stricter.some((pattern) => pattern.test(ours.error ?? ""));
  assert.ok(isStricter || (ours.error === undefined) === (theirs.error === undefined), said);
  // The Go program only reads the start of a file's content, so an error in the rest it sees a member later.
  const isLate = ours.error !== undefined && theirs.members.length === ours.members.length + 1;
  const compared = isStricter || isLate ? theirs.members.slice(0, ours.members.length) : theirs.members;
  assert.deepEqual(ours.members, compared, said);
  return ours.error === undefined;
}

function say(ours: Listing, theirs: Listing): string {
  return `ours: ${ours.members.length} members, ${ours.error ?? "no error"}; Go's: ${theirs.members.length}, ${theirs.error ?? "no error"}`;
}
