import resource from "../../package.json" with { type: "json" };
import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import type { Solved } from "../builder/solve/solve-all.ts";
import type { SolvingEngine } from "../builder/solve/solve-on-engines.ts";
import type { StepContext } from "../host/step-context.ts";
import type { BuildRecord } from "../image/build-record.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { encodeRecord } from "../image/encode-record.ts";
import { configDigestOf, type ImageTree } from "../image/image-tree.ts";
import { formatPlatform } from "../image/platform.ts";
import { concourseVariables } from "./build-variables.ts";
import { recordedParams } from "./recorded-params.ts";

/** What a build that has ended knows of itself. */
export interface BuildFacts extends Solved {
  /** Milliseconds since 1970. */
  readonly started: number;
  readonly options: BuildOptions;
  readonly inputs: Pick<Inputs, "dockerfile" | "buildArgs" | "labels">;
  /** The version of buildctl. Undefined if its build has none. */
  readonly buildctl: string | undefined;
  /** Texts that must not be in the record. */
  readonly secrets: readonly string[];
}

/** A target, for the record of its build. */
export interface RecordedResult {
  readonly name: string;
  /** Undefined if the target was only built. */
  readonly built: { readonly descriptor: Descriptor; readonly tree: ImageTree } | undefined;
  readonly tags: readonly string[];
}

/**
 * The text of `build.json` (see {@link BuildRecord}).
 * @returns undefined if it would be too large, which is logged
 */
export function recordBuild(
  facts: BuildFacts,
  targets: readonly RecordedResult[],
  { env, log }: Pick<StepContext, "env" | "log">,
): string | undefined {
  const { options, inputs, results, steps, images, started, secrets, buildctl } = facts;
  const record: BuildRecord = {
    schema: 1,
    started: new Date(started).toISOString(),
    seconds: inSeconds(Date.now() - started),
    concourse: concourseVariables(env),
    params: recordedParams(options),
    ...(inputs.dockerfile && {
      dockerfile: { name: inputs.dockerfile.shown, text: inputs.dockerfile.text },
    }),
    build_args: inputs.buildArgs,
    labels: inputs.labels,
    base_images: images.map((image) => ({ ...image })),
    targets: targets.map(recordedTarget),
    steps: steps.map(({ name, started: from, took, cached, fetched }) => ({
      name,
      ...(from !== undefined && { started: new Date(from).toISOString() }),
      seconds: inSeconds(took),
      cached,
      ...(fetched > 0 && { fetched }),
    })),
    warnings: results.flatMap(({ summaries }) => summaries.flatMap(({ warnings }) => warnings)),
    tools: {
      resource: resource.version,
      ...(buildctl !== undefined && { buildctl }),
      buildkit: distinct(results.flatMap(({ engines }) => engines)),
    },
    left_out: [],
  };
  const text = encodeRecord(record, secrets);
  if (text === undefined) log.warn("build.json: there is none of this build, as it would be too large");
  return text;
}

function recordedTarget({ name, built, tags }: RecordedResult): BuildRecord["targets"][number] {
  if (built === undefined) return { name, tags: [...tags], images: [] };
  return {
    name,
    digest: built.descriptor.digest,
    tags: [...tags],
    images: built.tree.images.map((image) => ({
      platform: formatPlatform(image.platform),
      manifest_digest: image.descriptor.digest,
      config_digest: configDigestOf(image),
      layers: image.manifest.layers.map(({ digest, size, mediaType }, index) => ({
        digest,
        // A tree is only read if there is one for each layer.
        diff_id: image.config.rootfs.diff_ids[index] ?? digest,
        size,
        media_type: mediaType,
      })),
    })),
  };
}

function distinct(engines: readonly SolvingEngine[]): BuildRecord["tools"]["buildkit"] {
  const byPlace = new Map(engines.map((engine) => [engine.where, engine]));
  return Array.from(byPlace.values(), ({ where, version, runc }) => ({
    where,
    ...(version !== undefined && { version }),
    ...(runc !== undefined && { runc }),
  }));
}

/** With milliseconds. */
function inSeconds(milliseconds: number): number {
  return Math.round(Math.max(milliseconds, 0)) / 1000;
}
