/** An invalid tar archive. The message says what is wrong, at which byte and in which member. */
export class TarError extends Error {
  override readonly name = "TarError";
  /** Where the member's first header block starts in the uncompressed archive. */
  readonly offset: number;
  /** The member's path, one character a byte; `undefined` if it isn't known yet. */
  readonly member: string | undefined;

  constructor(problem: string, at: { offset: number; member?: string | undefined }) {
    const subject = at.member === undefined ? "tar archive" : `tar member ${showName(at.member)}`;
    super(`${subject} at byte ${at.offset}: ${problem}`);
    this.offset = at.offset;
    this.member = at.member;
  }
}

/**
 * A name of bytes (one character each) for a message: as UTF-8, quoted, with control characters escaped, cut at
 * 200.
 */
export function showName(name: string): string {
  const text = Buffer.from(name, "latin1").toString("utf8");
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}
