import type { SolveResult } from "../builder/solve/solve-all.ts";
import type { ImageTree } from "../image/image-tree.ts";
import { formatReference } from "../image/reference.ts";
import type { StorePlace } from "../request/source.ts";
import { imageFields, type MetadataField } from "./image-fields.ts";

export interface DescribedPut {
  /** Of the main target. */
  readonly tree: ImageTree;
  readonly results: readonly SolveResult[];
  readonly tags: readonly string[];
  readonly place: StorePlace;
}

/** What a person wants to know of a build: which image, how large, how much of it was work. */
export function putMetadata({ tree, results, tags, place }: DescribedPut): MetadataField[] {
  const summaries = results.flatMap((result) => result.summaries);
  const steps = summaries.map((summary) => summary.steps);
  const warnings = summaries.flatMap((summary) => summary.warnings);
  const targets = results.slice(1).map(({ target }) => target);
  return [
    ...(place.kind === "registry"
      ? [
          {
            name: "image",
            value: formatReference({ ...place.repository, tag: undefined, digest: tree.top.digest }),
          },
        ]
      : []),
    ...(tags.length === 0 ? [] : [{ name: "tags", value: tags.join(" ") }]),
    ...imageFields(tree),
    ...(targets.length === 0 ? [] : [{ name: "additional targets", value: targets.join(" ") }]),
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
