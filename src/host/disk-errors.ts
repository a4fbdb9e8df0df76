import { statfs } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errorCode, messageOf, UserError } from "./errors.ts";
import { limitErrors } from "./process-limits.ts";

/** Of a program or a thread, for the limit on their number. */
const cantStart = "EAGAIN of a start";

/** Errors of a disk, or of what the worker allows (errno(3)): what was found, and what to do. */
const problems: Readonly<Record<string, readonly [found: string, advice: string]>> = {
  [cantStart]: limitErrors.EAGAIN,
  EMFILE: limitErrors.EMFILE,
  ENOMEM: limitErrors.ENOMEM,
  EDQUOT: ["the disk quota is used up", "Raise it or make room"],
  EROFS: ["the disk is mounted read-only", "Mount it writable or use another"],
  EIO: [
    "the disk fails with an I/O error",
    "The worker's kernel log says more; if the disk is damaged, use another",
  ],
  ESTALE: ["the network disk no longer knows the file", "Mount it again or use a local one"],
  EUCLEAN: ["the filesystem is damaged", "Check it with fsck or use another"],
  EFBIG: [
    "the file is larger than this step or its disk allows",
    "Raise the limit for files (ulimit -f) or use another disk",
  ],
  ENFILE: ["the worker has as many files open as it can", "Raise fs.file-max there"],
  EACCES: ["this step's user may not use it", "Run the step as root, or give that user the rights"],
  ENAMETOOLONG: [
    "a name in it is longer than its filesystem allows",
    "Use one that takes names of 255 bytes",
  ],
};

/** What a filesystem without links, owners or renames of Linux's answers, and a container that forbids these. */
const filesystemRefusals: ReadonlySet<string> = new Set(["EPERM", "EXDEV", "ENOTSUP", "EOPNOTSUPP"]);

/**
 * What to throw for an error met while writing `path`. What the operator can fix, such as a full or damaged disk, gets
 * a message with the path, the free space and, if known, the bytes needed. Any other error is returned unchanged.
 *
 * Call it before what was written is removed: it reports the free space of this moment.
 */
export async function writeProblem(
  error: unknown,
  path: string | undefined,
  needed?: number,
): Promise<unknown> {
  const size = needed === undefined ? "" : `; ${needed} bytes are to be written`;
  const named = pathOfProblem(error, path);
  // Without a path, only the error's own words say what it is about: a program, a socket.
  const what = named ?? messageOf(error).split("\n", 1)[0];
  const code = diskErrorCode(error);
  if (code === "ENOSPC") {
    const room = named === undefined ? "" : `, ${await roomOn(dirname(named))}`;
    return new UserError(`${what}: the disk is full${room}${size}. Make room on it or use another`, {
      cause: error,
    });
  }
  const problem = problems[code] ?? describeRefusal(error, { code, named }) ?? describeMissing(error);
  if (problem === undefined) return error;
  const [found, advice] = problem;
  return new UserError(`${what}: ${found}${size}. ${advice}`, { cause: error });
}

function describeRefusal(
  error: unknown,
  { code, named }: { readonly code: string; readonly named: string | undefined },
): readonly [found: string, advice: string] | undefined {
  // Without a path it isn't about a disk.
  if (!filesystemRefusals.has(code) || named === undefined) return undefined;
  return [
    `its filesystem or this container refuses it (${messageOf(error).split("\n", 1)[0]})`,
    "Use a disk with a filesystem of Linux's, such as ext4 or xfs, and run the step as root",
  ];
}

/** What the kernel gives every process, and this one lacks. */
function describeMissing(error: unknown): readonly [found: string, advice: string] | undefined {
  const said = messageOf(error);
  if (errorCode(error) === "ENOENT" && /'\/proc\/self\b/.test(said))
    return ["/proc is not mounted in this container", "Mount it (proc(5)): the step can't do without it"];
  return undefined;
}

/** The path that an error is about: the one that it names, unless that is in `path` or has a temporary name for it. */
function pathOfProblem(error: unknown, path: string | undefined): string | undefined {
  const named = error instanceof Error && "path" in error ? error.path : undefined;
  if (typeof named !== "string") return path;
  if (path === undefined) return named;
  const temporary = join(dirname(path), `.${basename(path)}.`);
  return named.startsWith(join(path, "/")) || named.startsWith(temporary) ? path : named;
}

/** Errors for which Node has no name, by their numbers (errno(3)). */
const unnamed: Readonly<Record<string, string>> = { "116": "ESTALE", "117": "EUCLEAN", "122": "EDQUOT" };

function diskErrorCode(error: unknown): string {
  const code = errorCode(error) ?? "";
  // Node's own of a thread: without a code, or with one of its own.
  const [, ofThread] = /^(?:Worker initialization failure: )?(E[A-Z]+)$/.exec(messageOf(error)) ?? [];
  if (ofThread === "EAGAIN" || (code === "EAGAIN" && /\bspawn /.test(messageOf(error)))) return cantStart;
  if (ofThread !== undefined) return ofThread;
  // dlopen(3) has no error numbers.
  if (code === "ERR_DLOPEN_FAILED" && messageOf(error).endsWith(" Too many open files")) return "EMFILE";
  const [, number = ""] = /^Unknown system error -(\d+)$/.exec(code) ?? [];
  return unnamed[number] ?? code;
}

async function roomOn(folder: string): Promise<string> {
  const disk = await diskOf(folder);
  if (disk === undefined) return "its size isn't known";
  const { free, size, files, freeFiles } = disk;
  const noFiles = files > 0 && freeFiles === 0 ? `, but no more files fit on it (it holds ${files})` : "";
  return `${free} of its ${size} bytes are free${noFiles}`;
}

interface Disk {
  /** Bytes. */
  readonly free: number;
  readonly size: number;
  /** Inodes; 0 if the filesystem has no limit. */
  readonly files: number;
  readonly freeFiles: number;
}

/** The filesystem that a path is on, or would be on if it existed. */
async function diskOf(path: string): Promise<Disk | undefined> {
  for (let at = path; ; at = dirname(at)) {
    try {
      const { bavail, bsize, blocks, files, ffree } = await statfs(at);
      return { free: bavail * bsize, size: blocks * bsize, files, freeFiles: ffree };
    } catch {
      if (at === dirname(at)) return undefined;
    }
  }
}

/** Bytes. A program that found its disk full may have meant any disk with less free space than this. */
const nearlyNothing = 1024 * 1024;

/**
 * Describes which of these paths lie on a full disk, for programs that don't say which disk is full.
 * @param isNamed whether the program named this path
 */
export async function fullDisks(
  paths: readonly string[],
  isNamed: (path: string) => boolean,
): Promise<string | undefined> {
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      const disk = await diskOf(path);
      const isFull =
        isNamed(path) ||
        (disk !== undefined && (disk.free < nearlyNothing || (disk.files > 0 && disk.freeFiles === 0)));
      return isFull
        ? [`${path}: the disk is full, ${await roomOn(path)}. Make room on it or use another`]
        : [];
    }),
  );
  return found.flat().join("\n") || undefined;
}

/**
 * What to throw for an error that no other code has handled: a system error about a disk becomes a message for the
 * operator, with the path that the error names, if any.
 */
export async function surfaceProblem(error: unknown): Promise<unknown> {
  return writeProblem(error, undefined);
}
