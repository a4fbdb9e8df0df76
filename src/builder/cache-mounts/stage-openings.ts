import { readInstructions } from "../plan/instructions.ts";
import { type DockerfileStage, type FindMounts, firstStageOf, readStages } from "./dockerfile-stages.ts";
import { mountKey } from "./mount-flags.ts";

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
  const found = new Map<number, StageOpening>();
  for (const { all, needed } of readStages(find)) {
    for (const stage of needed) {
      if (!stage.mounts.some(({ mount }) => mount !== undefined && wanted.has(mountKey(mount)))) continue;
      const first = firstStageOf(stage, all);
      if (first.base !== "scratch") found.set(all.indexOf(first), openingOf(first));
    }
  }
  return [...found].toSorted(([one], [other]) => one - other).map(([, opening]) => opening);
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
