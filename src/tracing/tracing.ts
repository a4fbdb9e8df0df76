import type { StepContext } from "../host/step-context.ts";
import type { TraceTarget } from "../host/trace.ts";

/**
 * Runs a step's work in a trace, under the span that Concourse gives it (`TRACEPARENT`), and then sends what is left
 * of the spans. Nothing of OpenTelemetry is loaded without a target, because it would take longer than a check.
 * @param name of the step's span: `put`
 */
export async function inTrace<T>(
  target: TraceTarget | undefined,
  step: StepContext,
  { name, work }: { readonly name: string; readonly work: (step: StepContext) => Promise<T> },
): Promise<T> {
  if (target === undefined) return work(step);
  const { traceStep } = await import("./trace-step.ts");
  return traceStep(target, step, { name, work });
}
