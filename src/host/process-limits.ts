/** What a system call answers if a limit of the step's leaves nothing for it (errno(3)): what was found, what to do. */
export const limitErrors = {
  /** Of what starts a program or a thread (fork(2), pthread_create(3)). Elsewhere it means something else. */
  EAGAIN: [
    "this step has as many processes and threads as it may",
    "Raise the limit of its container (pids.max) or of its user (ulimit -u)",
  ],
  EMFILE: ["this step has as many files open as it may", "Raise its limit (ulimit -n)"],
  ENOMEM: ["there is no memory for it", "Give the step or its worker more"],
} as const;

function told(code: keyof typeof limitErrors): string {
  return limitErrors[code].join(". ");
}

type Sign = readonly [words: RegExp, meaning: string];

/** What a program prints if a limit refuses it something, and what that means (strerror(3)). */
const programSigns: readonly Sign[] = [
  [
    /\bfork\b.*resource temporarily unavailable|can(?:'t|not) fork|failed to create new OS thread|pthread_create failed/i,
    told("EAGAIN"),
  ],
  [/: too many open files$/im, told("EMFILE")],
  [/: cannot allocate memory$|^[ \t]*fatal error: .*out of memory/im, told("ENOMEM")],
];

const limitSigns: readonly Sign[] = [
  ...programSigns,
  [/: file too large$/im, "the file is larger than this step may write. Raise the limit (ulimit -f)"],
];

/** Characters at the end of an output that are looked at: the time for one long line grows faster than its length. */
const longestLooked = 16_384;

/**
 * Which limit of the step's has stopped a program, and what to do; undefined if its words don't say so. Pure.
 * @param words the end of its output
 */
export function limitIn(words: string): string | undefined {
  return meaningIn(words, limitSigns);
}

/** The same for a program of the author's, which may call a file too large by a limit of its own. Pure. */
export function limitInOutput(words: string): string | undefined {
  return meaningIn(words, programSigns);
}

function meaningIn(words: string, signs: readonly Sign[]): string | undefined {
  const end = words.slice(-longestLooked);
  return signs.find(([sign]) => sign.test(end))?.[1];
}

/** What the error of a program's start means, if it is about a limit of the step's. Pure. */
export function limitOfStart(code: string | undefined): string | undefined {
  return code === "EAGAIN" || code === "EMFILE" || code === "ENOMEM" ? told(code) : undefined;
}
