import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { errorCode, messageOf } from "../../../host/errors.ts";

/**
 * The command that runs another as root of a new user namespace. Its first process says on its standard output that it
 * is there, and waits for the maps of its ids, which only a process outside can write: see {@link writeIdMaps}. Then it
 * becomes the command, with an empty standard input.
 */
export function inUserNamespace(command: readonly string[]): readonly [string, ...string[]] {
  const script = `echo ready && read -r problem && [ "$problem" = none ] || { echo "$problem" >&2; exit 1; }
exec "$@" </dev/null`;
  return ["unshare", "--user", "--", "sh", "-c", script, "sh", ...command];
}

/** The process that such a command started, with pipes at its standard input and output. */
interface Waiting {
  readonly pid?: number | undefined;
  readonly stdin: Writable;
  readonly stdout: Readable;
}

/**
 * Gives the new namespace every user and group id that this one has, under the same numbers (user_namespaces(7): one
 * write for a map, and no line of it may span two of the parent's). A failure is told to the waiting process, which
 * prints it and ends with status 1.
 */
export async function writeIdMaps({ pid, stdin, stdout }: Waiting): Promise<void> {
  // One that ends before it was ready tells why by itself.
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

/** Of a map's lines `inside outside count`, those of the map that keeps every number. */
function sameIds(map: string): string {
  const lines = map.trim().split("\n");
  return lines
    .map((line) => {
      const [inside, , count] = line.trim().split(/\s+/);
      return `${inside} ${inside} ${count}\n`;
    })
    .join("");
}
