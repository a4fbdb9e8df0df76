import { formatBytes } from "../../host/format.ts";
import { type Log, styled } from "../../host/log.ts";
import type { StepPrinter } from "./printer.ts";
import type { BuildStep } from "./step.ts";
import { noticeable } from "./summary.ts";
import { formatSeconds } from "./text.ts";

/** Shows instructions and their output, and BuildKit's other work if it takes long. */
export function createStepsPrinter(log: Log): StepPrinter {
  /**
   * Titles of the steps shown so far. After a COPY from the context each solve has steps of its own, and the cached
   * ones would be shown again for each.
   */
  const shown = new Set<string>();
  const place = ({ name }: BuildStep, style: "title" | "quiet"): string => {
    // Names of BuildKit's own work may have brackets already: `[internal] load git source …`.
    const text = name.isInstruction ? `[${name.place}]` : name.text;
    return styled(log, style, text.startsWith("[") ? text : `[${text}]`);
  };
  const title = (step: BuildStep) => `${place(step, "title")} ${step.name.text}`;
  const cached = (step: BuildStep): void => {
    // FROM runs nothing, so nobody waits to hear how it ended.
    const isAwaited = !step.name.text.startsWith("FROM ");
    if (!step.announced && !shown.has(title(step))) log.line(`${title(step)}, cached`);
    if (step.announced && isAwaited) log.line(`${place(step, "quiet")} was cached`);
    shown.add(title(step));
    const fetched = step.fetched();
    if (fetched === 0 || step.took() < noticeable) return;
    const words = `${formatBytes(fetched)} fetched from the layer cache, ${formatSeconds(step.took() / 1000)}`;
    log.line(`${place(step, "quiet")} ${styled(log, "quiet", words)}`);
  };
  return {
    began: (step) => {
      if (!step.name.isInstruction) return;
      shown.add(title(step));
      log.line(title(step));
    },
    wrote: (step, line) => log.line(`${place(step, "quiet")} ${line}`),
    did: () => {},
    ended: (step, label) => {
      const { name } = step;
      if (name.isInstruction && step.cached) {
        cached(step);
        return;
      }
      const took = step.took();
      if (took < noticeable) return;
      const fetched = step.fetched();
      const work = fetched === 0 ? "done" : `${formatBytes(fetched)} pulled and unpacked`;
      const what = name.isInstruction
        ? `[${name.place}] ${work}`
        : [label, name.text].filter(Boolean).join(": ");
      log.line(styled(log, "quiet", `${what}, ${formatSeconds(took / 1000)}`));
    },
  };
}
