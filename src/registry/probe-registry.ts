import type { StepContext } from "../host/step-context.ts";
import type { Reference } from "../image/reference.ts";
import type { RegistryAccess } from "./access.ts";
import { RegistryClient } from "./client.ts";
import { AttemptFailure } from "./registry-error.ts";
import { repositoryPlace } from "./repository-place.ts";
import { defaultTimeouts } from "./retry-policy.ts";

export interface ProbeOptions {
  readonly access: RegistryAccess;
  /** Milliseconds that the probe may take. */
  readonly stall: number;
  readonly step: StepContext;
}

/**
 * Why a registry can't be used, in words: it accepts a request but never answers, or closes the connection.
 * Undefined if it answers, with whatever status, and for errors that every program reports quickly by itself.
 */
export async function probeRegistry(image: Reference, options: ProbeOptions): Promise<string | undefined> {
  const { access, stall, step } = options;
  using client = new RegistryClient({
    repository: image,
    place: repositoryPlace(image, { field: "FROM", storeHost: undefined, access }),
    access,
    step,
    timeouts: { ...defaultTimeouts, stall },
    // No credentials are needed: a refusal is an answer too.
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
