const start = "version https://git-lfs.github.com/spec/";

/** The number of first bytes that {@link lfsPointer} looks at. */
export const lfsHeadLength = start.length;

/**
 * What is wrong with a file that git has checked out without what it stands for (git-lfs, docs/spec.md), to follow its
 * name. Undefined for any other file.
 */
export function lfsPointer(head: Buffer): string | undefined {
  return head.toString("latin1", 0, start.length) === start
    ? "is a pointer of Git LFS, and the file that it stands for wasn't fetched: have the get of its repository fetch it (a get of the git resource does, without disable_git_lfs)"
    : undefined;
}
