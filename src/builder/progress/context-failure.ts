import { dirname } from "node:path/posix";
import { suggestName } from "../../host/suggest.ts";
import type { BuildDescription, ShownContext } from "./build-description.ts";
import type { StepName } from "./step.ts";

/**
 * Explains why a COPY, an ADD or a bind mount doesn't find a file, and what to change. Returns undefined for any
 * other failure.
 */
export function explainMissingFile(
  reason: string,
  build: BuildDescription,
  step: StepName | undefined,
): string | undefined {
  const [, path] = /failed to calculate checksum of ref \S+: "([^"]*)": not found$/.exec(reason) ?? [];
  if (path === undefined) return undefined;
  const from = sourceOf(step?.text ?? "");
  if (from !== undefined) {
    const what = /^\d+$/.test(from) ? `stage number ${from}` : JSON.stringify(from);
    return `${path} isn't in ${what}, the stage, image or context that "from" names: check the path there`;
  }
  const { context } = build;
  if (context === undefined) return `${path.slice(1)} isn't in the build context`;
  const name = JSON.stringify(context.name);
  const relative = path.slice(1);
  if (context.holds(relative)) {
    const { name: ignored = ".dockerignore" } = context.ignoreFile() ?? {};
    return `${relative} is in the context ${name}, but ${ignored} keeps it out of the build: change its patterns`;
  }
  const folder = dirname(relative);
  const near = suggestName(
    relative.slice(folder === "." ? 0 : folder.length + 1),
    context.list(folder) ?? [],
  );
  const meant = near === undefined ? "" : ` (did you mean ${folder === "." ? near : `${folder}/${near}`}?)`;
  return `${relative} isn't in the context ${name}${meant}: paths in COPY, ADD and bind mounts begin at the context's folder, and can't lead out of it${emptyFolder(relative, context)}`;
}

/** A folder on the way to a path that is there and holds nothing, as git leaves a submodule that wasn't fetched. */
function emptyFolder(path: string, context: ShownContext): string {
  const parts = path.split("/").slice(0, -1);
  const folders = parts.map((_, index) => parts.slice(0, index + 1).join("/"));
  // A file isn't held with a "/" at its end.
  const found = folders.find((folder) => context.holds(`${folder}/`) && context.list(folder)?.length === 0);
  return found === undefined
    ? ""
    : `; its folder ${found} is empty: if that is a git submodule, have the get of the repository fetch it (a get of the git resource does, without "submodules: none")`;
}

/** The source in `--from=` of a COPY, or `from=` of a mount. */
function sourceOf(instruction: string): string | undefined {
  return /(?:--from=|\bfrom=)([^\s,]+)/.exec(instruction)?.[1];
}

/** Explains which pattern of which file BuildKit refuses. Returns undefined for any other failure. */
export function explainPattern(reason: string, { context }: BuildDescription): string | undefined {
  if (!/^(?:syntax error in pattern|illegal exclusion pattern: "!")$/.test(reason)) return undefined;
  const file = context?.ignoreFile();
  if (file === undefined) return undefined;
  const lines = file.text.split("\n").map((line) => line.replace(/^\uFEFF/, "").trim());
  const at = lines.findIndex(
    (line) => !line.startsWith("#") && isBadPattern(line.replace(/^!\s*/, ""), line),
  );
  if (at === -1) return `${file.name}: ${reason}`;
  return `${file.name}, line ${at + 1}: ${JSON.stringify(lines[at])} is not a pattern (${reason}): a "[" needs a "]", and a "!" a pattern after it; to use a special character literally, put a backslash before it`;
}

/**
 * Whether a pattern is invalid for Go's path/filepath.Match, with which BuildKit checks patterns: a set of
 * characters must be complete, and a backslash must be followed by a character.
 */
function isBadPattern(pattern: string, line: string): boolean {
  if (line === "!") return true;
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] === "\\") {
      at++;
      if (at >= pattern.length) return true;
    } else if (pattern[at] === "[") {
      const end = endOfSet(pattern, at + 1);
      if (end === undefined) return true;
      at = end;
    }
  }
  return false;
}

/**
 * The index of the "]" that ends a set of characters. Undefined if the set has no end or contains an incomplete
 * range.
 */
function endOfSet(pattern: string, begin: number): number | undefined {
  let at = pattern[begin] === "^" ? begin + 1 : begin;
  for (let count = 0; at < pattern.length; count++) {
    if (pattern[at] === "]" && count > 0) return at;
    for (const part of ["from", "to"]) {
      if (part === "to") {
        if (pattern[at] !== "-") break;
        at++;
      }
      const isEscaped = pattern[at] === "\\";
      const character = pattern[isEscaped ? ++at : at];
      if (character === undefined) return undefined;
      if (!isEscaped && (character === "-" || character === "]")) return undefined;
      at++;
    }
  }
  return undefined;
}
