import { expandVariables, type Variables } from "./variables.ts";

/** What identifies a cache mount on a daemon. With other ownership options the same id has different content. */
export interface CacheMount {
  /** The cleaned target, unless the Dockerfile gives an id. */
  readonly id: string;
  /** Empty, or all of `uid`, `gid` and `mode`, as {@link ownershipOf} has them. */
  readonly ownership: string;
}

/** Identifies a mount among those of the same namespace. */
export function mountKey({ id, ownership }: CacheMount): string {
  return ownership === "" ? id : `${id},${ownership}`;
}

/** Ids that can be kept. A line break would end the instruction of a Dockerfile of ours. */
export const keptId = /^[\P{Cc}\u0080-\u009f]{1,512}$/u;

/**
 * The ownership options of a mount, so that equal ones have equal texts: `uid=5,gid=0,mode=755`. If one of them is
 * given, BuildKit sets all three (frontend/dockerfile/dockerfile2llb, setCacheUIDGID). Pure.
 * @param mode octal digits
 */
export function ownershipOf(given: {
  readonly uid?: string | undefined;
  readonly gid?: string | undefined;
  readonly mode?: string | undefined;
}): string {
  const { uid, gid, mode } = given;
  if (uid === undefined && gid === undefined && mode === undefined) return "";
  const bits = Number.parseInt(mode ?? "755", 8).toString(8);
  return `uid=${Number(uid ?? 0)},gid=${Number(gid ?? 0)},mode=${bits}`;
}

/** A cache mount of a RUN instruction. */
export interface FoundMount {
  /** The target, unless the Dockerfile gives an id, as the Dockerfile writes it. */
  readonly id: string;
  readonly target: string;
  readonly sharing: string | undefined;
  /** Undefined if it can't be copied. */
  readonly mount?: CacheMount;
  /** Its id, and why it can't be copied. */
  readonly problem?: string;
}

/** What the variables of a mount's fields are expanded with. */
export interface FlagContext {
  readonly variables: Variables;
  /** Whether a name that isn't in `variables` has no value. Otherwise the base image may set it. */
  readonly isComplete: boolean;
  readonly escapeChar: string;
}

/** A field of a `--mount`. */
interface Field {
  /** Undefined if it can't be expanded. */
  readonly value: string | undefined;
  /** Names of variables in it that the base image may set. */
  readonly missing: readonly string[];
}

export type MountFields = ReadonlyMap<string, Field>;

/**
 * The fields of a `--mount`, by their names in lower case, without their aliases. Malformed fields, with which no build
 * succeeds, are left out. Pure.
 */
export function readMountFields(
  mount: string,
  { variables, isComplete, escapeChar }: FlagContext,
): MountFields {
  return new Map(
    csvFields(mount).map((field) => {
      const [, key = field, text = ""] = /^([^=]*)=(.*)$/s.exec(field) ?? [];
      const missing = new Set<string>();
      const value = expandVariables(text, { variables, escape: escapeChar, missing });
      const name = key.toLowerCase();
      return [aliases.get(name) ?? name, { value, missing: isComplete ? [] : [...missing] }];
    }),
  );
}

const aliases: ReadonlyMap<string, string> = new Map([
  ["dst", "target"],
  ["destination", "target"],
  ["src", "source"],
]);

/** The fields of one CSV record. */
function csvFields(record: string): readonly string[] {
  const fields = record.matchAll(/(?:"((?:[^"]|"")*)"|([^",]*))(?:,|$)/gs);
  return Array.from(fields, ([, quoted, plain = ""]) => quoted?.replaceAll('""', '"') ?? plain);
}

/**
 * Reads the cache mount of a flag's value. Pure.
 *
 * BuildKit takes each byte of a flag for a character (frontend/dockerfile/parser, extractBuilderFlags), so `é` in it
 * means two. What comes from a variable stays as it is.
 */
export function readCacheMount(flag: string, context: FlagContext): FoundMount {
  const asWritten = readMountFields(flag, context);
  const target = asWritten.get("target")?.value ?? "";
  const shown = {
    id: asWritten.get("id")?.value || target,
    target,
    sharing: asWritten.get("sharing")?.value?.toLowerCase(),
  };
  const fields = readMountFields(Buffer.from(flag, "utf8").toString("latin1"), context);
  const problem = (why: string) => ({ ...shown, problem: `${shortened(shown.id)} (${why})` });
  if (fields.has("from") || fields.has("source"))
    return problem("its content begins with that of something else: from or source");
  const given = fields.get("id") ?? { value: "", missing: [] };
  const naming = given.value === "" && given.missing.length === 0 ? "target" : "id";
  const { value: name = "", missing = [] } = fields.get(naming) ?? {};
  if (missing.length > 0)
    return problem(
      `its ${naming} has $${missing[0]}, which the Dockerfile doesn't set: give the mount ${naming === "id" ? "another id" : "an id"}`,
    );
  const id = naming === "id" ? name : cleanedTarget(name);
  if (!keptId.test(id)) return problem(`its ${naming} can't be copied`);
  for (const [option, pattern] of numbers)
    if (fields.has(option) && !pattern.test(fields.get(option)?.value ?? "")) return problem(`its ${option}`);
  const [uid, gid, mode] = numbers.map(([option]) => fields.get(option)?.value);
  return { ...shown, mount: { id, ownership: ownershipOf({ uid, gid, mode }) } };
}

const numbers = [
  ["uid", /^\d{1,10}$/],
  ["gid", /^\d{1,10}$/],
  ["mode", /^[0-7]{1,11}$/],
] as const;

/** A mount's id for a line of the log, with its letters as the Dockerfile has them. Pure. */
export function shownId({ id }: CacheMount): string {
  const written = /^[\0-\xff]*$/.test(id) ? Buffer.from(id, "latin1").toString("utf8") : id;
  return shortened(written.includes("\uFFFD") ? id : written);
}

/** For a line of the log: in quotes if it would otherwise end at a blank or another sign. */
function shortened(id: string): string {
  const short = id.length > 80 ? `${id.slice(0, 80)}…` : id;
  return /^[^\s"',;:()\p{Cc}]+$/u.test(short) ? short : JSON.stringify(short);
}

/** The target without `.`, `..` and doubled slashes, like Go's path.Clean. An empty target stays empty. */
function cleanedTarget(target: string): string {
  if (target === "") return "";
  const parts: string[] = [];
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!target.startsWith("/")) parts.push(part);
  }
  return `${target.startsWith("/") ? "/" : ""}${parts.join("/")}` || ".";
}
