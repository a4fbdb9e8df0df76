import { fileURLToPath } from "node:url";
import { namesOfPut } from "../../../src/host/author-names.ts";
import { createLog } from "../../../src/host/log.ts";
import type { StepContext } from "../../../src/host/step-context.ts";
import { untraced } from "../../../src/host/trace.ts";

/** The checkout under test, without a slash at its end. */
export const checkout = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");

/** This process's environment with the checkout's own tools (buildctl, buildkitd, regctl) first on PATH. */
export function toolEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const defined = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const { PATH: path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" } = process.env;
  return { ...Object.fromEntries(defined), PATH: `${checkout}/.tools/bin:${path}`, ...more };
}

export interface TestStep extends StepContext {
  /** What was logged so far, as one text. */
  readonly logged: () => string;
  /** What Concourse's SIGTERM does. */
  abort(): void;
}

/** A host whose log is kept in memory and whose signal the test can abort. */
export function createTestStep(env: Readonly<Record<string, string>> = {}): TestStep {
  const controller = new AbortController();
  let text = "";
  const append = (written: string) => {
    text += written;
  };
  return {
    env: toolEnvironment(env),
    cwd: "/",
    arch: process.arch,
    log: createLog({ write: append, colours: false }),
    names: namesOfPut,
    signal: controller.signal,
    late: AbortSignal.any([]),
    kill: (pid, signal) => void process.kill(pid, signal),
    trace: untraced,
    spansUrl: undefined,
    logged: () => text,
    abort: () => controller.abort(),
  };
}
