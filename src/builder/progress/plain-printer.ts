import { formatBytes } from "../../host/format.ts";
import type { Log } from "../../host/log.ts";
import type { StepPrinter } from "./printer.ts";
import type { BuildStep } from "./step.ts";
import { formatSeconds } from "./text.ts";

/**
 * Shows everything, with a number for each step, like `buildctl build --progress=plain`. Steps that several solves
 * share are shown once.
 */
export function createPlainPrinter(log: Log): StepPrinter {
  const begun = new Map<BuildStep, number>();
  const since = (step: BuildStep): string => {
    const at = begun.get(step);
    return at === undefined ? "" : `${((performance.now() - at) / 1000).toFixed(3)} `;
  };
  const numbers = new Map<BuildStep, number>();
  const introduce = (step: BuildStep): string => {
    const known = numbers.get(step);
    if (known !== undefined) return `#${known}`;
    const number = numbers.size + 1;
    numbers.set(step, number);
    const { place, text } = step.name;
    log.line(`#${number} ${place === "" ? text : `[${place}] ${text}`}`);
    return `#${number}`;
  };
  return {
    began: (step) => {
      begun.set(step, performance.now());
      introduce(step);
    },
    wrote: (step, line) => log.line(`${introduce(step)} ${since(step)}${line}`),
    did: (step, { id, current, completed }) => {
      const bytes = current === 0 ? "" : ` ${formatBytes(current)}`;
      log.line(`${introduce(step)} ${id}${bytes}${completed ? " done" : ""}`);
    },
    ended: (step) => {
      const end =
        step.error !== "" ? "ERROR" : step.cached ? "CACHED" : `DONE ${formatSeconds(step.took() / 1000)}`;
      log.line(`${introduce(step)} ${end}`);
    },
  };
}
