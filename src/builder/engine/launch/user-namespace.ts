import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { errorCode, messageOf } from "../../../host/errors.ts";

/**
 * The command that runs another as root of a new user namespace. Its first process prints a line when it is ready,
 * and waits until its id maps are written, which only a process outside can do: see {@link writeIdMaps}. Then it
 * executes the command, with an empty standard input.
 */
export function inUserNamespace(command: readonly string[]): readonly [string, ...string[]] {
  const script = `echo ready && read -r problem && [ "$problem" = none ] || { echo "$problem" >&2; exit 1; }
exec "$@" </dev/null`;
  return ["unshare", "--user", "--", "sh", "-c", script, "sh", ...command];
}

/** The process of a command by {@link inUserNamespace}, with pipes at its standard input and output. */
interface Waiting {
  readonly pid?: number | undefined;
  readonly stdin: Writable;
  readonly stdout: Readable;
}

/**
 * Gives the new namespace every user and group id of this one, under the same numbers. user_namespaces(7): a map is
 * written by a single write, and no line of it may span two lines of the parent's map. If it fails, the waiting
 * process is sent the error, prints it and ends with status 1.
 */
export async function writeIdMaps({ pid, stdin, stdout }: Waiting): Promise<void> {
  // A process that ends before it was ready prints the reason itself.
  stdin.on("error", () => {});
  await Promise.race([once(stdout, "data"), once(stdout, "end")]).catch(() => {});
  stdout.resume();
  let problem = "none";
  try {
    for (const map of ["uid_map", "gid_map"]) {
      const own = await readFile(`/proc/self/${map}`, "utf8");
      await writeFile(`/proc/${pid}/${map}`, sameIds(own));
    }
  } catch (thrown) {
    if (errorCode(thrown) === undefined) throw thrown;
    problem = `the ids of a user namespace can't be mapped: ${messageOf(thrown)}`;
  }
  stdin.end(`${problem}\n`);
}

/** Turns a map's lines `inside outside count` into a map that keeps every number. */
function sameIds(map: string): string {
  const lines = map.trim().split("\n");
  return lines
    .map((line) => {
      const [inside, , count] = line.trim().split(/\s+/);
      return `${inside} ${inside} ${count}\n`;
    })
    .join("");
}
