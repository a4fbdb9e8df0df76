import type { SolveResult } from "../builder/solve/solve-all.ts";
import { formatBytes } from "../host/format.ts";
import { sum } from "../host/sum.ts";
import type { BuildVersion } from "../image/build-version.ts";
import { configDigestOf, type ImageTree } from "../image/image-tree.ts";
import { formatPlatform } from "../image/platform.ts";
import type { MetadataField } from "../store/build.ts";

export interface DescribedPut {
  readonly version: BuildVersion;
  /** The main target's image. */
  readonly tree: ImageTree;
  readonly results: readonly SolveResult[];
  readonly tags: readonly string[];
  /** When it was stored, in milliseconds since 1970. */
  readonly at: number;
  /** The step's environment. Its variables name the build in Concourse. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * The metadata that Concourse shows: image, size, steps, time and the Concourse build. It is stored with the build,
 * and every get shows it again.
 */
export function putMetadata({ version, tree, results, tags, at, env }: DescribedPut): MetadataField[] {
  const summaries = results.flatMap((result) => result.summaries);
  const steps = summaries.map((summary) => summary.steps);
  const warnings = summaries.flatMap((summary) => summary.warnings);
  const run = sum(steps.map((counts) => counts.run));
  const cached = sum(steps.map((counts) => counts.cached));
  const targets = version.targets.map(({ name }) => name).join(" ");
  return shownFields({
    digest: version.digest,
    tags: tags.join(" "),
    ...imageFields(tree),
    additional_targets: targets,
    steps: `${run} run, ${cached} cached`,
    warnings: String(warnings.length),
    build_time: `${Math.max(...summaries.map(({ seconds }) => seconds)).toFixed(1)} s`,
    stored: new Date(at).toISOString(),
    concourse_build: concourseBuild(env),
  });
}

function shownFields(fields: Readonly<Record<string, string>>): MetadataField[] {
  return Object.entries(fields).flatMap(([name, value]) => (value === "" ? [] : [{ name, value }]));
}

function imageFields({ top, images, indexes }: ImageTree): Readonly<Record<string, string>> {
  const shown = images.map((image) => {
    const { layers } = image.manifest;
    return {
      platform: formatPlatform(image.platform),
      config: configDigestOf(image),
      layers: String(layers.length),
      size: formatBytes(sum(layers.map(({ size }) => size))),
    };
  });
  const perPlatform = (field: "config" | "layers" | "size") =>
    shown
      .map((image) => (shown.length === 1 ? image[field] : `${image.platform}: ${image[field]}`))
      .join(", ");
  return {
    [indexes.length > 0 ? "index_digest" : "manifest_digest"]: top.digest,
    config_digest: perPlatform("config"),
    platforms: shown.map(({ platform }) => platform).join(", "),
    size: perPlatform("size"),
    layers: perPlatform("layers"),
  };
}

/** `main/images/build #12`: team, pipeline, job and the number of the build in that job. Empty outside a job. */
function concourseBuild(env: DescribedPut["env"]): string {
  const place = [env["BUILD_TEAM_NAME"], env["BUILD_PIPELINE_NAME"], env["BUILD_JOB_NAME"]];
  const number = env["BUILD_NAME"];
  if (number === undefined || place.includes(undefined)) return "";
  return `${place.join("/")} #${number}`;
}
