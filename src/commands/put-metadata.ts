import type { SolveResult } from "../builder/solve.ts";
import { formatBytes } from "../host/format.ts";
import { formatPlatform } from "../image/platform.ts";
import type { ImageTree } from "../image/resolve.ts";

/** One row of what Concourse shows beside a version. */
export interface MetadataField {
  readonly name: string;
  readonly value: string;
}

/** What a person wants to know of a build: which image, how large, how much of it was work. */
export function putMetadata(
  tree: ImageTree,
  results: readonly SolveResult[],
  tags: readonly string[],
): MetadataField[] {
  const summaries = results.flatMap((result) => result.summaries);
  const steps = summaries.map((summary) => summary.steps);
  const warnings = summaries.flatMap((summary) => summary.warnings);
  const images = tree.images.map((image) => ({
    platform: formatPlatform(image.platform),
    layers: image.manifest.layers.length,
    size: image.manifest.layers.reduce((total, { size }) => total + size, 0),
  }));
  const perPlatform = (value: (image: (typeof images)[number]) => string) =>
    images.length === 1
      ? images.map(value).join("")
      : images.map((image) => `${image.platform}: ${value(image)}`).join(", ");
  return [
    { name: "manifest digest", value: tree.top.digest },
    ...(tags.length === 0 ? [] : [{ name: "tags", value: tags.join(" ") }]),
    { name: "platforms", value: images.map(({ platform }) => platform).join(", ") },
    { name: "size", value: perPlatform(({ size }) => formatBytes(size)) },
    { name: "layers", value: perPlatform(({ layers }) => String(layers)) },
    {
      name: "steps",
      value: `${sum(steps.map(({ run }) => run))} run, ${sum(steps.map(({ cached }) => cached))} cached`,
    },
    { name: "warnings", value: String(warnings.length) },
    {
      name: "build time",
      value: `${Math.max(...summaries.map(({ seconds }) => seconds)).toFixed(1)} s`,
    },
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
