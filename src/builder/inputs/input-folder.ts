import { isUtf8 } from "node:buffer";
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join, normalize, relative, resolve, sep } from "node:path";
import { errorCode, UserError } from "../../host/errors.ts";
import { lfsPointer } from "../../host/lfs-pointer.ts";
import { orNone } from "../../host/or-none.ts";
import { staysAmongInputs } from "./follow-links.ts";

/**
 * The folder with a step's inputs. A put can't use paths outside it. A task can use any path, because its config
 * can mount inputs anywhere (`inputs: [{name: certs, path: /var/certs}]`).
 */
export interface InputFolder {
  readonly path: string;
  readonly kind: "put" | "task";
}

type Expected = "file" | "folder" | "file or folder";

/** System errors for a path that can't be followed (path_resolution(7)). */
const unusable: ReadonlyMap<string, string> = new Map([
  ["ELOOP", "is a symlink that leads back to itself"],
  ["ENAMETOOLONG", "is longer than a path can be"],
  ["EACCES", "is in a folder that this step may not enter"],
]);

/**
 * Returns the real, absolute path of an input, with symlinks followed and checked.
 * @param subject names the param in errors: `context`, `secrets.npmrc`
 * @throws UserError if the path is missing, has the wrong type, or leads out of the folder
 */
export async function resolveInput(
  folder: InputFolder,
  path: string,
  subject: string,
  expected: Expected,
): Promise<string> {
  const shown = JSON.stringify(path);
  if (path === "" || path.includes("\0")) throw new UserError(`${subject}: ${shown} is not a path`);
  const root = realRoot(folder);
  const wanted = folder.kind === "task" ? resolve(root, path) : pathWithin(root, path);
  if (wanted === undefined) {
    throw new UserError(
      `${subject}: ${shown} leads out of the ${folder.kind}'s folder; paths are relative to it and start with the name of an input`,
    );
  }
  const real = realInput({ folder, root, given: path, wanted }, subject, expected);
  const isAllowed =
    real === root ||
    real.startsWith(root + sep) ||
    (folder.kind === "task" && (await staysAmongInputs(wanted, root)));
  if (!isAllowed) {
    const out = folder.kind === "task" ? "inputs" : "folder";
    throw new UserError(
      `${subject}: ${shown} goes through a symlink that leads out of the ${folder.kind}'s ${out}`,
    );
  }
  const found = statSync(real);
  const fits = (expected !== "folder" && found.isFile()) || (expected !== "file" && found.isDirectory());
  if (!fits) {
    const kind = found.isDirectory() ? "a folder" : found.isFile() ? "a file" : "neither file nor folder";
    throw new UserError(`${subject}: ${shown} is ${kind}; expected a ${expected}`);
  }
  return real;
}

function realRoot(folder: InputFolder): string {
  try {
    return realpathSync.native(folder.path);
  } catch (thrown) {
    if (errorCode(thrown) !== "ENOENT") throw thrown;
    throw new UserError(`the ${folder.kind}'s folder ${folder.path} isn't there`);
  }
}

interface WantedInput {
  readonly folder: InputFolder;
  /** The folder's real path. */
  readonly root: string;
  /** The path as it is written. */
  readonly given: string;
  /** Where it leads. */
  readonly wanted: string;
}

function realInput(input: WantedInput, subject: string, expected: Expected): string {
  try {
    return realpathSync.native(input.wanted);
  } catch (thrown) {
    const code = errorCode(thrown) ?? "";
    if (code === "ENOENT" || code === "ENOTDIR")
      throw new UserError(`${subject}: ${whyMissing(input, expected)}`);
    const why = unusable.get(code);
    if (why === undefined) throw thrown;
    throw new UserError(`${subject}: ${JSON.stringify(input.given)} ${why}`, { cause: thrown });
  }
}

/**
 * Reads a small text file of the inputs, for use in names and arguments. A byte order mark is removed.
 * @param limit in bytes
 * @throws UserError as {@link resolveInput}, and if the file is too large, not UTF-8, or contains a NUL
 */
export async function readInputText(
  folder: InputFolder,
  path: string,
  subject: string,
  limit = 1024 * 1024,
): Promise<string> {
  const bytes = await readInputFile(folder, path, subject, limit);
  const isUtf16 = /^(fffe|feff)/.test(bytes.toString("hex", 0, 2));
  if (isUtf16 || bytes.includes(0) || !isUtf8(bytes)) {
    const why = isUtf16
      ? "it is UTF-16; save it as UTF-8"
      : `it ${bytes.includes(0) ? "holds a NUL character" : "is not UTF-8"}`;
    throw new UserError(`${subject}: ${JSON.stringify(path)} is not a text file: ${why}`);
  }
  // Windows editors put a byte order mark before the text.
  return bytes.toString("utf8").replace(/^\uFEFF/, "");
}

/**
 * Reads a small file of the inputs.
 * @param limit in bytes
 * @throws UserError as {@link resolveInput}, and if the file is too large, or a pointer to another
 */
export async function readInputFile(
  folder: InputFolder,
  path: string,
  subject: string,
  limit: number,
): Promise<Buffer> {
  const file = await resolveInput(folder, path, subject, "file");
  const { size } = statSync(file);
  if (size > limit)
    throw new UserError(`${subject}: ${JSON.stringify(path)} holds ${size} bytes; at most ${limit} are read`);
  const bytes = readFileSync(file);
  const pointer = lfsPointer(bytes);
  if (pointer !== undefined) throw new UserError(`${subject}: ${JSON.stringify(path)} ${pointer}`);
  return bytes;
}

function pathWithin(root: string, path: string): string | undefined {
  const absolute = isAbsolute(path) ? normalize(path) : join(root, path);
  const inside = relative(root, absolute);
  return inside === ".." || inside.startsWith(`..${sep}`) ? undefined : absolute;
}

function whyMissing({ folder, root, given, wanted }: WantedInput, expected: Expected): string {
  const within = relative(root, wanted);
  const isElsewhere = isAbsolute(given) && (within === ".." || within.startsWith(`..${sep}`));
  const path = isElsewhere ? wanted : within;
  const [artifact = path] = path.split(sep).filter((part) => part !== "");
  const artifacts = namesIn(root);
  if (!artifacts.includes(artifact) && folder.kind === "put") {
    const plain = artifact.replace(/\\.*$/s, "").replaceAll(/["'`]/g, "").trim();
    if (artifacts.includes(plain))
      return `artifact ${JSON.stringify(artifact)} is not among the put's inputs, but ${JSON.stringify(plain)} is; write paths with "/", without quotes, and without blanks around them`;
    const there = artifacts.length === 0 ? "there are none" : `there are: ${artifacts.join(", ")}`;
    return `artifact ${JSON.stringify(artifact)} is not among the put's inputs (${there}): add "inputs: [${artifact}]" to the put step, or correct the path ${JSON.stringify(path)}`;
  }
  let deepest = isElsewhere ? sep : root;
  for (const part of path.split(sep)) {
    const next = join(deepest, part);
    if (orNone(() => statSync(next))?.isDirectory() !== true) break;
    deepest = next;
  }
  const there = namesIn(deepest);
  const listed = there.slice(0, 20).join(", ") + (there.length > 20 ? ", …" : "");
  const place = isElsewhere ? deepest : relative(root, deepest) || ".";
  const hint =
    isElsewhere && artifacts.includes(artifact)
      ? `; ${JSON.stringify(artifact)} is in the task's folder: leave out the first "/"`
      : "";
  return `there is no ${expected} ${JSON.stringify(path)}; ${JSON.stringify(place)} holds: ${listed || "nothing"}${hint}`;
}

function namesIn(folder: string): string[] {
  return (orNone(() => readdirSync(folder)) ?? []).toSorted();
}
