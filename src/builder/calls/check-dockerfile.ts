import { mapAtOnce } from "../../host/map-at-once.ts";
import type { Solve } from "../plan/plan.ts";
import { formatFinding } from "../progress/warning-text.ts";
import { type AskedBuild, askFrontend } from "./ask-frontend.ts";
import { listTargets } from "./list-targets.ts";
import { readFindings } from "./read-findings.ts";

/** How many stages are asked about at the same time. Each question is a process of its own. */
const stagesAtOnce = 4;

/**
 * Runs BuildKit's checks on the targets of a build, or on all stages if no target is named, and logs each finding
 * as a warning, in the order of the file.
 * @throws UserError if a stage can't be built as it is written, or if findings count as errors
 */
export async function checkDockerfile(asked: AskedBuild): Promise<void> {
  const { step, solves, described } = asked;
  const targets = await listTargets(asked);
  const answers: string[] = [];
  for (const solve of solves) answers.push(await askFrontend(asked, solve, "frontend.lint"));
  const file = described.dockerfile?.name ?? "Dockerfile";
  // BuildKit tells them in another order each time.
  const findings = answers
    .flatMap((answer) => readFindings(answer, file))
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  for (const finding of new Set(findings.map(formatFinding))) step.log.warn(finding);
  // The checks end without a word at an instruction that is wrong. An outline fails there, and also if findings count
  // as errors.
  const [main] = solves;
  const others = targets.filter(({ name, isDefault }) => name !== "" && !isDefault);
  const stages = main.target === "" ? [main, ...others.map(({ name }) => withTarget(main, name))] : solves;
  await mapAtOnce(stages, { limit: stagesAtOnce, signal: step.signal }, (solve, signal) =>
    askFrontend({ ...asked, step: { ...step, signal } }, solve, "frontend.outline"),
  );
}

function withTarget(solve: Solve, target: string): Solve {
  return { ...solve, target, options: new Map([...solve.options, ["target", target]]) };
}
