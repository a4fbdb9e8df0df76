import { formatBytes } from "../../host/format.ts";
import { sum } from "../../host/sum.ts";
import type { SolveSummary } from "./followed-solve.ts";
import { type BuildStep, exportingCache, exportingResult } from "./step.ts";
import { formatSeconds } from "./text.ts";

/** The number of slowest steps that are listed. */
const named = 5;
/** Milliseconds. Work that takes less isn't worth a line of its own. */
export const noticeable = 1000;

interface Timing {
  readonly milliseconds: number;
  readonly what: string;
}

/** The first line of the summary: `built in 12 s: 5 steps run, 3 of 8 cached`. Pure. */
export function summaryLine(summaries: readonly SolveSummary[]): string {
  const run = sum(summaries.map(({ steps }) => steps.run));
  const cached = sum(summaries.map(({ steps }) => steps.cached));
  const warnings = sum(summaries.map((summary) => summary.warnings.length));
  const seconds = Math.max(...summaries.map((summary) => summary.seconds));
  const found = warnings === 0 ? "" : `, ${warnings} ${warnings === 1 ? "warning" : "warnings"}`;
  return `built in ${formatSeconds(seconds)}: ${run} ${run === 1 ? "step" : "steps"} run, ${cached} of ${run + cached} cached${found}`;
}

/**
 * Lines that show what took the time of a build: the slowest steps, base images, export and push, slowest first.
 * Pure.
 */
export function timingLines(steps: readonly BuildStep[]): string[] {
  const done = steps.filter(({ done: isDone, error }) => isDone && error === "");
  const timings = [...slowestSteps(done), ...transfers(done), ...exportTimings(done)];
  return timings
    .toSorted((a, b) => b.milliseconds - a.milliseconds)
    .map(({ milliseconds, what }) => `  ${formatSeconds(milliseconds / 1000).padEnd(11)}${what}`);
}

function slowestSteps(steps: readonly BuildStep[]): Timing[] {
  const took = new Map<string, number>();
  for (const step of steps) {
    const { name } = step;
    if (!name.isInstruction || step.cached || step.fetched() > 0) continue;
    const what = `[${name.place}] ${name.text}`;
    took.set(what, Math.max(took.get(what) ?? 0, step.took()));
  }
  return Array.from(took, ([what, milliseconds]) => ({ what, milliseconds }))
    .filter(({ milliseconds }) => milliseconds >= noticeable)
    .toSorted((a, b) => b.milliseconds - a.milliseconds)
    .slice(0, named);
}

/** Pulls of base images and fetches from the layer cache, if they took long. */
function transfers(steps: readonly BuildStep[]): Timing[] {
  const kinds = [
    { what: "pulled and unpacked of base images", of: steps.filter(({ cached }) => !cached) },
    { what: "fetched from the layer cache", of: steps.filter(({ cached }) => cached) },
  ];
  return kinds.flatMap(({ what, of }) => {
    const bytes = sum(of.map((step) => step.fetched()));
    const milliseconds = sum(of.map((step) => (step.fetched() > 0 ? step.took() : 0)));
    return bytes === 0 || milliseconds < noticeable
      ? []
      : [{ milliseconds, what: `${formatBytes(bytes)} ${what}` }];
  });
}

/**
 * Times of export, push and cache export. Several targets are exported at the same time, so the slowest target's
 * times count.
 */
function exportTimings(steps: readonly BuildStep[]): Timing[] {
  const exporting = steps.filter(({ name }) => exportingResult.test(name.text));
  const caches = steps.filter(({ name }) => exportingCache.test(name.text));
  const pushing = /^pushing /;
  return [
    {
      what: "exporting the image",
      milliseconds: longest(exporting.map((step) => step.took() - step.partsTook(pushing))),
    },
    { what: "pushing the image", milliseconds: longest(exporting.map((step) => step.partsTook(pushing))) },
    { what: "writing the layer cache", milliseconds: longest(caches.map((step) => step.took())) },
  ].filter(({ milliseconds }) => milliseconds > 0);
}

function longest(times: readonly number[]): number {
  return Math.max(0, ...times);
}
