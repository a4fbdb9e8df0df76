import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform } from "../../image/platform.ts";
import { escapeCharacter, type Instruction, readFlags, readInstructions } from "../plan/instructions.ts";
import { type FlagContext, type FoundMount, readCacheMount, readMountFields } from "./mount-flags.ts";
import { expandVariables, readArgs, readEnv } from "./variables.ts";

/** A Dockerfile, and what decides which of its stages are built. */
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

export interface DockerfileStage {
  readonly name: string | undefined;
  /** The text after FROM. */
  readonly from: string;
  /** The image or stage that it is built on. */
  readonly base: string;
  /** Its instructions after FROM. */
  readonly own: readonly Instruction[];
  /** Its ONBUILD instructions, without that word: the stages that are built on it begin with them. */
  readonly triggers: readonly Instruction[];
  /** The stages or images that it uses. */
  readonly parents: readonly string[];
  readonly mounts: readonly FoundMount[];
}

/** All stages of a Dockerfile, and those that the targets need. Pure. */
export interface Stages {
  readonly all: readonly DockerfileStage[];
  readonly needed: readonly DockerfileStage[];
}

/** Reads a Dockerfile's stages for each platform. Pure. */
export function readStages(find: FindMounts): readonly Stages[] {
  const instructions = readInstructions(find.dockerfile);
  return find.platforms.map((platform) => {
    const all = new StageReader(find, platform).read(instructions);
    const needed = neededStages(all, find.targets);
    return { all, needed: all.filter((stage) => needed.has(stage)) };
  });
}

/** The stage that a stage is built on, through any number of others. Pure. */
export function firstStageOf(stage: DockerfileStage, stages: readonly DockerfileStage[]): DockerfileStage {
  const parent = findStage(stages.slice(0, stages.indexOf(stage)), stage.base);
  return parent === undefined ? stage : firstStageOf(parent, stages);
}

/** A stage whose instructions are being read. */
interface ReadStage extends DockerfileStage {
  readonly own: Instruction[];
  readonly triggers: Instruction[];
  readonly parents: string[];
  readonly mounts: FoundMount[];
  /**
   * The variables that its instructions see. A stage based on this one inherits them. One that has no value is
   * undefined.
   */
  readonly variables: Map<string, string | undefined>;
  /** Whether `variables` has all of them. Otherwise its base image may set others. */
  readonly isComplete: boolean;
}

class StageReader {
  readonly #given: ReadonlyMap<string, string>;
  readonly #global: Map<string, string | undefined>;
  readonly #escape: string;
  readonly #stages: ReadStage[] = [];

  constructor({ dockerfile, buildArgs, buildPlatform }: FindMounts, platform: Platform) {
    this.#given = new Map(Object.entries(buildArgs));
    this.#global = new Map(platformArgs(platform, buildPlatform));
    this.#escape = escapeCharacter(dockerfile);
  }

  read(instructions: readonly Instruction[]): readonly DockerfileStage[] {
    for (const instruction of instructions) {
      const { name, rest } = instruction;
      const stage = this.#stages.at(-1);
      if (name === "FROM") this.#begin(rest);
      else if (stage !== undefined) {
        stage.own.push(instruction);
        this.#take(instruction, stage);
      } else if (name === "ARG") this.#declare(rest, this.#global, new Map());
    }
    return this.#stages;
  }

  #begin(rest: string): void {
    const [image = "", as = "", name] = readFlags(rest, this.#escape).words.split(/\s+/);
    const base = expandVariables(image, { variables: this.#global, escape: this.#escape }) ?? image;
    const parent = findStage(this.#stages, base);
    const stage: ReadStage = {
      name: as.toUpperCase() === "AS" ? name?.toLowerCase() : undefined,
      from: rest,
      base,
      own: [],
      triggers: [],
      parents: [base],
      mounts: [],
      variables: new Map(parent?.variables),
      isComplete: parent?.isComplete ?? base === "scratch",
    };
    this.#stages.push(stage);
    for (const trigger of parent?.triggers ?? []) this.#take(trigger, stage);
  }

  #take({ name, rest }: Instruction, stage: ReadStage): void {
    const { variables, triggers } = stage;
    if (name === "ARG") this.#declare(rest, variables, this.#global);
    if (name === "ENV") {
      // All values of one ENV are expanded with the variables set before it.
      const set = readEnv(rest).map(([key, value]) => [key, this.#expand(value, stage)] as const);
      for (const [key, value] of set) {
        if (value === undefined) variables.delete(key);
        else variables.set(key, value);
      }
    }
    if (name === "COPY" || name === "ADD" || name === "RUN") this.#use(name, rest, stage);
    const [, trigger = "", words = ""] = /^(\S+)\s*(.*)$/s.exec(rest) ?? [];
    if (name === "ONBUILD") triggers.push({ name: trigger.toUpperCase(), rest: words });
  }

  /** Undefined if the value isn't known. */
  #expand(text: string, { variables, isComplete }: ReadStage): string | undefined {
    const missing = new Set<string>();
    const value = expandVariables(text, { variables, escape: this.#escape, missing });
    return isComplete || missing.size === 0 ? value : undefined;
  }

  #declare(
    rest: string,
    into: Map<string, string | undefined>,
    outer: ReadonlyMap<string, string | undefined>,
  ): void {
    for (const [name, byDefault] of readArgs(rest)) {
      const own =
        byDefault === undefined
          ? undefined
          : expandVariables(byDefault, { variables: into, escape: this.#escape });
      const value = this.#given.get(name) ?? own ?? outer.get(name);
      if (value !== undefined || !into.has(name)) into.set(name, value);
    }
  }

  #use(name: string, rest: string, { parents, mounts, variables, isComplete }: ReadStage): void {
    const context: FlagContext = { variables, isComplete, escapeChar: this.#escape };
    for (const flag of readFlags(rest, this.#escape).flags) {
      const [, key, value = ""] = /^--(\w+)=(.*)$/s.exec(flag) ?? [];
      if (key === "from" && name === "COPY") parents.push(value);
      if (key !== "mount" || name !== "RUN") continue;
      const fields = readMountFields(value, context);
      const from = fields.get("from")?.value;
      if (from !== undefined) parents.push(from);
      if (fields.get("type")?.value?.toLowerCase() === "cache") mounts.push(readCacheMount(value, context));
    }
  }
}

function findStage<T extends DockerfileStage>(stages: readonly T[], name: string): T | undefined {
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

function platformArgs(target: Platform, build: Platform): readonly (readonly [string, string])[] {
  return Object.entries({ TARGET: target, BUILD: build }).flatMap(([prefix, platform]) => {
    const { os, architecture, variant = "" } = platform;
    return [
      [`${prefix}PLATFORM`, formatPlatform(platform)],
      [`${prefix}OS`, os],
      [`${prefix}ARCH`, architecture],
      [`${prefix}VARIANT`, variant],
    ] as const;
  });
}
