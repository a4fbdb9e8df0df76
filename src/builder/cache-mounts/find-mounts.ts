import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform } from "../../image/platform.ts";
import { type Instruction, readFlags, readInstructions } from "./instructions.ts";
import { expandVariables, readArgs, readEnv, type Variables } from "./variables.ts";

/** What identifies a cache mount on a daemon. With other ownership options the same id has different content. */
export interface CacheMount {
  /** The cleaned target, unless the Dockerfile gives an id. */
  readonly id: string;
  /** `uid`, `gid` and `mode` from the Dockerfile, in this order: `uid=5,mode=0700`. */
  readonly ownership: string;
}

export interface FindMounts {
  readonly dockerfile: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  /** Names of stages; an empty name is the last stage. */
  readonly targets: readonly string[];
  /** The platforms to build for. Mounts are looked for with the ARGs of each. */
  readonly platforms: readonly Platform[];
  /** The daemon's own platform. */
  readonly buildPlatform: Platform;
}

export interface FoundMounts {
  readonly mounts: readonly CacheMount[];
  /** The texts of all RUN instructions that have a cache mount, as the Dockerfile has them. */
  readonly instructions: string;
  /** Ids or targets of the mounts that can't be copied, each with the reason. */
  readonly leftOut: readonly string[];
}

/**
 * Finds the cache mounts of the stages that a build needs: `RUN --mount=type=cache`, with the values of ARG and
 * ENV. Variables and ONBUILD instructions of base images are not known here. Pure.
 */
export function findMounts(find: FindMounts): FoundMounts {
  const instructions = readInstructions(find.dockerfile);
  const mounts = new Map<string, CacheMount>();
  const leftOut = new Set<string>();
  for (const platform of find.platforms) {
    const stages = readStages(instructions, find, platform);
    const needed = neededStages(stages, find.targets);
    for (const stage of stages.filter((one) => needed.has(one))) {
      for (const { mount, problem } of stage.mounts) {
        if (mount !== undefined) mounts.set(mountKey(mount), mount);
        if (problem !== undefined) leftOut.add(problem);
      }
    }
  }
  const using = instructions.filter(({ name, rest }) => name === "RUN" && /type=cache/i.test(rest));
  return {
    mounts: [...mounts.values()],
    instructions: using.map(({ rest }) => rest).join("\n"),
    leftOut: [...leftOut],
  };
}

/** A cache mount as the Dockerfile has it. */
export interface ListedMount {
  /** The target, unless the Dockerfile gives an id. */
  readonly id: string;
  readonly target: string;
  readonly sharing: string;
}

/** Lists all cache mounts of the stages that a build needs, in the Dockerfile's order. Pure. */
export function listMounts(find: FindMounts): readonly ListedMount[] {
  const instructions = readInstructions(find.dockerfile);
  const listed = new Map<string, ListedMount>();
  for (const platform of find.platforms) {
    const stages = readStages(instructions, find, platform);
    const needed = neededStages(stages, find.targets);
    for (const { id, target, sharing = "shared" } of stages.flatMap((stage) =>
      needed.has(stage) ? stage.mounts : [],
    ))
      listed.set(JSON.stringify([id, target, sharing]), { id, target, sharing });
  }
  return [...listed.values()];
}

/** The beginning of a stage that has an image as its base: the instructions before its first RUN, COPY or ADD. */
export interface StageOpening {
  /** The text after FROM. */
  readonly from: string;
  /** Those instructions after it on which its filesystem depends. */
  readonly instructions: readonly string[];
  /** Whether one of them makes a layer, which a layer cache may have, and the base's layers with it. */
  readonly hasLayer: boolean;
}

/**
 * Finds the base images of the stages that use some mounts. A stage that is built on another has that one's. Pure.
 * @param wanted mounts, by {@link mountKey}
 */
export function findOpenings(find: FindMounts, wanted: ReadonlySet<string>): readonly StageOpening[] {
  const instructions = readInstructions(find.dockerfile);
  const found = new Map<number, StageOpening>();
  for (const platform of find.platforms) {
    const stages = readStages(instructions, find, platform);
    const needed = neededStages(stages, find.targets);
    for (const stage of stages) {
      const isWanted = stage.mounts.some(({ mount }) => mount !== undefined && wanted.has(mountKey(mount)));
      if (!needed.has(stage) || !isWanted) continue;
      const first = firstStageOf(stage, stages);
      if (first.base !== "scratch") found.set(stages.indexOf(first), openingOf(first));
    }
  }
  return [...found].toSorted(([one], [other]) => one - other).map(([, opening]) => opening);
}

/** The stage that a stage is built on, through any number of others. */
function firstStageOf(stage: DockerfileStage, stages: readonly DockerfileStage[]): DockerfileStage {
  const parent = findStage(stages.slice(0, stages.indexOf(stage)), stage.base);
  return parent === undefined ? stage : firstStageOf(parent, stages);
}

function openingOf({ from, own }: DockerfileStage): StageOpening {
  const end = own.findIndex(({ name }) => name === "RUN" || name === "COPY" || name === "ADD");
  const before = own
    .slice(0, end === -1 ? own.length : end)
    .filter(({ name }) => /^(ARG|ENV|USER|WORKDIR)$/.test(name));
  return {
    from,
    instructions: before.map(({ name, rest }) => `${name} ${rest}`),
    hasLayer: before.some(({ name }) => name === "WORKDIR"),
  };
}

/** The ARG instructions before the first FROM, whose values FROM may use. Pure. */
export function globalArgs(dockerfile: string): readonly string[] {
  const instructions = readInstructions(dockerfile);
  const first = instructions.findIndex(({ name }) => name === "FROM");
  return instructions
    .slice(0, Math.max(first, 0))
    .flatMap(({ name, rest }) => (name === "ARG" ? `ARG ${rest}` : []));
}

/** Identifies a mount among those of the same namespace. */
export function mountKey({ id, ownership }: CacheMount): string {
  return ownership === "" ? id : `${id},${ownership}`;
}

interface FoundMount {
  readonly id: string;
  readonly target: string;
  readonly mount?: CacheMount;
  readonly problem?: string;
  readonly sharing?: string | undefined;
}

interface DockerfileStage {
  readonly name: string | undefined;
  /** The text after FROM. */
  readonly from: string;
  /** The image or stage that it is built on. */
  readonly base: string;
  /** Its instructions after FROM. */
  readonly own: Instruction[];
  /** The stages or images that it uses. */
  readonly parents: string[];
  readonly mounts: FoundMount[];
  /** The variables that its instructions see. A stage based on this one inherits them. */
  readonly variables: Map<string, string>;
}

function readStages(
  instructions: readonly Instruction[],
  find: FindMounts,
  platform: Platform,
): readonly DockerfileStage[] {
  const predefined = platformArgs(platform, find.buildPlatform);
  const given = new Map(Object.entries(find.buildArgs));
  const global = new Map<string, string>(predefined);
  const stages: DockerfileStage[] = [];
  for (const instruction of instructions) {
    const { name, rest } = instruction;
    if (name === "FROM") {
      stages.push(readFrom(rest, global, stages));
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) {
      if (name === "ARG") declare(readArgs(rest), { given, outer: new Map(), into: global });
      continue;
    }
    stage.own.push(instruction);
    if (name === "ARG") declare(readArgs(rest), { given, outer: global, into: stage.variables });
    if (name === "ENV") {
      // All values of one ENV are expanded with the variables set before it.
      const set = readEnv(rest).map(
        ([key, value]) => [key, expandVariables(value, stage.variables)] as const,
      );
      for (const [key, value] of set) stage.variables.set(key, value ?? "");
    }
    if (name === "COPY" || name === "ADD" || name === "RUN") readUse(name, rest, stage);
  }
  return stages;
}

function readFrom(rest: string, global: Variables, stages: readonly DockerfileStage[]): DockerfileStage {
  const [image = "", as = "", name] = readFlags(rest).words.split(/\s+/);
  const base = expandVariables(image.replaceAll(/["']/g, ""), global) ?? image;
  const parent = findStage(stages, base);
  return {
    name: as.toUpperCase() === "AS" ? name?.toLowerCase() : undefined,
    from: rest,
    base,
    own: [],
    parents: [base],
    mounts: [],
    variables: new Map(parent?.variables),
  };
}

function declare(
  args: ReturnType<typeof readArgs>,
  { given, outer, into }: { given: Variables; outer: Variables; into: Map<string, string> },
): void {
  for (const [name, byDefault] of args) {
    const own = byDefault === undefined ? undefined : expandVariables(byDefault, into);
    const value = given.get(name) ?? own ?? outer.get(name);
    if (value !== undefined) into.set(name, value);
  }
}

function readUse(name: string, rest: string, { parents, mounts, variables }: DockerfileStage): void {
  for (const flag of readFlags(rest).flags) {
    const [, key, value = ""] = /^--(\w+)=(.*)$/s.exec(flag) ?? [];
    if (key === "from" && name === "COPY") parents.push(value);
    if (key !== "mount" || name !== "RUN") continue;
    const fields = readFields(value, variables);
    const from = fields.get("from");
    if (from !== undefined) parents.push(from ?? "");
    if (fields.get("type")?.toLowerCase() === "cache") mounts.push(readMount(fields));
  }
}

/** The fields of a `--mount`. The value is undefined if it can't be expanded. */
function readFields(mount: string, variables: Variables): ReadonlyMap<string, string | undefined> {
  return new Map(
    mount.split(",").map((field) => {
      const [, key = field, value = ""] = /^([^=]*)=(.*)$/s.exec(field) ?? [];
      return [
        aliases.get(key.toLowerCase()) ?? key.toLowerCase(),
        expandVariables(value, variables),
      ] as const;
    }),
  );
}

const aliases: ReadonlyMap<string, string> = new Map([
  ["dst", "target"],
  ["destination", "target"],
  ["src", "source"],
]);

/** The characters are restricted because the id goes into a Dockerfile of ours. */
const plainId = /^[^\s"'`\\$,#]{1,512}$/;

function readMount(fields: ReadonlyMap<string, string | undefined>): FoundMount {
  const target = fields.get("target") ?? "";
  const isUnclear = fields.has("id") && fields.get("id") === undefined;
  const id = isUnclear ? "" : fields.get("id") || cleaned(target);
  const shown = { id: id || target, target, sharing: fields.get("sharing")?.toLowerCase() };
  if (fields.has("from") || fields.has("source"))
    return { ...shown, problem: `${id} (its content begins with that of something else: from or source)` };
  if (!plainId.test(id)) return { ...shown, problem: `${JSON.stringify(id || target)} (its name)` };
  const ownership: string[] = [];
  for (const [name, pattern] of numbers) {
    if (!fields.has(name)) continue;
    const value = fields.get(name) ?? "";
    if (!pattern.test(value)) return { ...shown, problem: `${id} (its ${name})` };
    ownership.push(`${name}=${value}`);
  }
  return { ...shown, mount: { id, ownership: ownership.join(",") } };
}

const numbers = [
  ["uid", /^\d{1,10}$/],
  ["gid", /^\d{1,10}$/],
  ["mode", /^[0-7]{1,7}$/],
] as const;

/** The target without `.`, `..` and doubled slashes, like Go's path.Clean. An empty target stays empty. */
function cleaned(target: string): string {
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

function findStage(stages: readonly DockerfileStage[], name: string): DockerfileStage | undefined {
  return stages.findLast((stage) => stage.name === name.toLowerCase());
}

function neededStages(
  stages: readonly DockerfileStage[],
  targets: readonly string[],
): ReadonlySet<DockerfileStage> {
  const needed = new Set<DockerfileStage>();
  const need = (stage: DockerfileStage | undefined): void => {
    if (stage === undefined || needed.has(stage)) return;
    needed.add(stage);
    const before = stages.slice(0, stages.indexOf(stage));
    for (const parent of stage.parents)
      need(findStage(before, parent) ?? (/^\d+$/.test(parent) ? before[Number(parent)] : undefined));
  };
  for (const target of targets)
    need(target === "" ? stages.at(-1) : (findStage(stages, target) ?? stages[Number(target)]));
  return needed;
}

function platformArgs(target: Platform, build: Platform): Variables {
  return new Map(
    Object.entries({ TARGET: target, BUILD: build }).flatMap(([prefix, platform]) => {
      const { os, architecture, variant = "" } = platform;
      return [
        [`${prefix}PLATFORM`, formatPlatform(platform)],
        [`${prefix}OS`, os],
        [`${prefix}ARCH`, architecture],
        [`${prefix}VARIANT`, variant],
      ] as const;
    }),
  );
}
