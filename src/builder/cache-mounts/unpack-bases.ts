import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { startChild } from "../../host/child.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import { sum } from "../../host/sum.ts";
import { checkArg } from "../plan/build-checks.ts";
import { buildctlArguments } from "../plan/buildctl-arguments.ts";
import type { AttributePairs } from "../plan/csv.ts";
import { parserDirective } from "../plan/parser-directives.ts";
import type { Solve } from "../plan/plan.ts";
import { parseEvent } from "../progress/events.ts";
import { LineSplitter } from "../progress/lines.ts";
import { globalArgs, type StageOpening } from "./stage-openings.ts";
import type { TransferContext } from "./transfer.ts";

export interface UnpackBases {
  readonly dockerfile: string;
  readonly openings: readonly StageOpening[];
  /** The build's main solve, whose options decide what FROM means. */
  readonly solve: Solve;
  /** The layer caches of the build. */
  readonly importCaches: readonly AttributePairs[];
}

/** Base images that are being fetched and unpacked. Disposing stops it. */
export interface BaseUnpacking extends AsyncDisposable {
  /** Settles when it has ended, whether it was stopped or not. */
  readonly ended: Promise<unknown>;
  /** Seconds of it so far, or until it ended. */
  seconds(): number;
  /** Bytes of the disk that it may need, as far as it is known by now. */
  diskBytes(): number;
}

/**
 * Begins to fetch and unpack the base images of a build, which finds them there. If one of them can't be fetched,
 * nothing is logged: the build itself meets the same problem.
 *
 * The layers come from where the build would take them. If the layer cache has the result of a step, it has the layers
 * of the step's base as well, and BuildKit fetches them from there. So the steps up to the first RUN, COPY or ADD
 * are solved with them, and a stage that has no such step is left to the build.
 *
 * ONBUILD instructions of a base image are known only then. They are the build's to run, with its secrets and restored
 * mounts, so such an image is left to it.
 * @returns undefined if there is nothing to unpack
 */
export function unpackBases(context: TransferContext, bases: UnpackBases): BaseUnpacking | undefined {
  const openings = bases.openings.filter(({ hasLayer }) => hasLayer);
  if (openings.length === 0) return undefined;
  const stopped = new AbortController();
  const layers = new Map<string, number>();
  const begun = performance.now();
  let ended: number | undefined;
  const signal = AbortSignal.any([context.step.signal, stopped.signal]);
  const work = solveBases({ ...context, step: { ...context.step, signal } }, { ...bases, openings }, layers)
    // The build meets the same problem.
    .catch(() => {})
    .finally(() => {
      ended = performance.now();
    });
  return {
    ended: work,
    seconds: () => ((ended ?? performance.now()) - begun) / 1000,
    diskBytes: () => mostExpansion * sum([...layers.values()]),
    async [Symbol.asyncDispose]() {
      stopped.abort();
      await work;
    },
  };
}

/** An unpacked layer seldom has more than so many times the bytes of its blob. */
const mostExpansion = 8;

/** @param layers gets the bytes of each layer that is fetched, by its digest */
async function solveBases(
  { step, engine, env, authTls, workspace }: TransferContext,
  bases: UnpackBases,
  layers: Map<string, number>,
): Promise<void> {
  await using folder = await createPrivateFolder("bases", workspace);
  await writeSmallFile(join(folder.path, "Dockerfile"), basesDockerfile(bases));
  const args = buildctlArguments({
    solve: solveOf(bases.solve, folder.path),
    exporter: undefined,
    metadataFile: join(folder.path, "metadata.json"),
    importCaches: bases.importCaches,
    exportCaches: [],
    authTls,
  });
  const options = { stdout: "ignore", buffer: false, reject: false } as const;
  const onbuilds = new AbortController();
  const child = startChild(
    { env, signal: AbortSignal.any([step.signal, onbuilds.signal]) },
    "buildctl",
    [...engine.connection, ...args],
    options,
  );
  const lines = new LineSplitter();
  child.stderr.on("data", (bytes: Buffer) => {
    for (const { vertexes, statuses } of lines.write(bytes).flatMap((line) => parseEvent(line) ?? [])) {
      for (const { id, total } of statuses) if (id.startsWith("sha256:")) layers.set(id, total);
      if (vertexes.some(({ name }) => onBuild.test(name))) onbuilds.abort();
    }
  });
  await child;
}

/** BuildKit's name for a step that comes from an ONBUILD. */
const onBuild = /^\[[^\]]*\] ONBUILD /;

/** A folder that is made on each base: it has to be unpacked for that. */
const madeFolder = "/unpacked";

function basesDockerfile({ dockerfile, openings }: UnpackBases): string {
  const directives = (["syntax", "escape"] as const).flatMap((name) => {
    const value = parserDirective(dockerfile, name);
    return value === "" ? [] : `# ${name}=${value}`;
  });
  const stages = openings.flatMap(({ from, instructions }) => [
    `FROM ${from}`,
    ...instructions,
    `WORKDIR ${madeFolder}`,
  ]);
  const all = openings.map((_, index) => `COPY --from=${index} ${madeFolder} /${index}`);
  return [...directives, ...globalArgs(dockerfile), ...stages, "FROM scratch", ...all, ""].join("\n");
}

/**
 * Has only what decides which images the Dockerfile names: nothing is exported, and no secret is used. Should a step of
 * an ONBUILD begin before the solve is stopped, it has no network, so that the build doesn't take its result for its own,
 * and other mounts.
 */
function solveOf(solve: Solve, folder: string): Solve {
  const locals = [...solve.locals].filter(([name]) => name !== "context" && name !== "dockerfile");
  const apart = [
    ["force-network-mode", "none"],
    ["build-arg:BUILDKIT_CACHE_MOUNT_NS", folder],
  ] as const;
  return {
    ...solve,
    target: "",
    options: new Map([...[...solve.options].filter(([name]) => decidesImages(name)), ...apart]),
    locals: new Map([...locals, ["dockerfile", folder], ["context", folder]]),
    secrets: [],
    ssh: [],
    allow: [],
  };
}

function decidesImages(option: string): boolean {
  if (option === `build-arg:${checkArg}`) return false;
  return /^(platform$|image-resolve-mode$|cmdline$|build-arg:|context:)/.test(option);
}
