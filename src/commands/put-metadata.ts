import type { SolveResult } from "../builder/solve.ts";
import type { ImageTree } from "../image/resolve.ts";
import { imageFields, type MetadataField } from "./image-fields.ts";

/** What a person wants to know of a build: which image, how large, how much of it was work. */
export function putMetadata(
  tree: ImageTree,
  results: readonly SolveResult[],
  tags: readonly string[],
): MetadataField[] {
  const summaries = results.flatMap((result) => result.summaries);
  const steps = summaries.map((summary) => summary.steps);
  const warnings = summaries.flatMap((summary) => summary.warnings);
  const [digest, ...fields] = imageFields(tree);
  return [
    ...(digest === undefined ? [] : [digest]),
    ...(tags.length === 0 ? [] : [{ name: "tags", value: tags.join(" ") }]),
    ...fields,
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
