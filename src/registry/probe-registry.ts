import type { StepContext } from "../host/step-context.ts";
import type { Reference } from "../image/reference.ts";
import { formatReference } from "../image/reference.ts";
import type { RegistryAccess } from "./access.ts";
import { RegistryClient } from "./client.ts";
import { AttemptFailure } from "./registry-error.ts";
import { defaultTimeouts } from "./retry-policy.ts";

export interface ProbeOptions {
  readonly access: RegistryAccess;
  /** Milliseconds that it may take. */
  readonly stall: number;
  readonly step: StepContext;
}

/**
 * Why a registry can't be talked to, in words: it takes a request and never answers, or hangs up. Undefined when it
 * answers, whatever that is, and for what every program finds out soon by itself.
 */
export async function probeRegistry(image: Reference, options: ProbeOptions): Promise<string | undefined> {
  const { access, stall, step } = options;
  using client = new RegistryClient({
    repository: image,
    where: formatReference(image),
    access,
    step,
    timeouts: { ...defaultTimeouts, stall },
    // Who we are matters nothing here: a refusal is an answer.
    credentials: async () => ({ kind: "none" }),
  });
  const request = { method: "HEAD", path: `manifests/${image.tag ?? "latest"}`, expected: [200] } as const;
  try {
    const answer = await client.attempt(request, step.signal);
    answer.body.resume();
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof AttemptFailure)) throw thrown;
    return thrown.fault === "cut" ? thrown.message : undefined;
  }
}
