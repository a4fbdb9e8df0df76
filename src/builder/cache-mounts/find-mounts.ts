import { readInstructions } from "../plan/instructions.ts";
import { type FindMounts, readStages } from "./dockerfile-stages.ts";
import { type CacheMount, mountKey } from "./mount-flags.ts";

export interface FoundMounts {
  readonly mounts: readonly CacheMount[];
  /** The texts of all RUN and ONBUILD instructions that have a cache mount, as the Dockerfile has them. */
  readonly instructions: string;
  /** Ids or targets of the mounts that can't be copied, each with the reason. */
  readonly leftOut: readonly string[];
}

/**
 * Finds the cache mounts of the stages that a build needs: `RUN --mount=type=cache`, with the values of ARG and
 * ENV. Variables and ONBUILD instructions of base images are not known here. Pure.
 */
export function findMounts(find: FindMounts): FoundMounts {
  const found = neededMounts(find);
  const using = readInstructions(find.dockerfile).filter(
    ({ name, rest }) => (name === "RUN" || name === "ONBUILD") && /type=cache/i.test(rest),
  );
  return {
    mounts: [...new Map(found.flatMap(({ mount }) => (mount ? [[mountKey(mount), mount]] : []))).values()],
    instructions: using.map(({ rest }) => rest).join("\n"),
    leftOut: [...new Set(found.flatMap(({ problem }) => problem ?? []))],
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
  const listed = neededMounts(find).map(({ id, target, sharing = "shared" }) => ({ id, target, sharing }));
  return [...new Map(listed.map((mount) => [JSON.stringify(Object.values(mount)), mount])).values()];
}

function neededMounts(find: FindMounts) {
  return readStages(find).flatMap(({ needed }) => needed.flatMap(({ mounts }) => mounts));
}
