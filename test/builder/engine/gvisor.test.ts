import assert from "node:assert/strict";
import { test } from "node:test";
import { refusalOf } from "../../../src/builder/engine/launch/gvisor.ts";
import { noLauncher } from "../../../src/builder/engine/launch/no-launcher.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

/** What runsc says when the sandbox's first process can't trace another. */
const died = "  running container: starting container: waiting for sandbox to start: EOF";

function told(scope: string | undefined): string {
  const refusal = refusalOf(died, scope);
  assert.ok(refusal !== undefined);
  return noLauncher([refusal], namesOfPut).message;
}

test("where Yama forbids ptrace, the error names its setting, the value and the values that work", () => {
  for (const scope of ["2", "3"]) {
    const message = told(`${scope}\n`);
    assert.match(
      message,
      new RegExp(`in a gVisor sandbox: the worker's kernel\\.yama\\.ptrace_scope is ${scope}`),
    );
    assert.match(message, /helps: kernel\.yama\.ptrace_scope 0 or 1 on the worker/);
    assert.doesNotMatch(message, /Concourse 8\.0/);
  }
});

test("where Yama isn't there or allows a process to trace its children, the container forbids ptrace", () => {
  for (const scope of [undefined, "0\n", "1\n", ""]) {
    const message = told(scope);
    assert.match(message, /in a gVisor sandbox: this container doesn't allow ptrace\(2\)/);
    assert.match(message, /helps: Concourse 8\.0 or newer on the worker/);
    assert.doesNotMatch(message, /yama/);
  }
});

test("a daemon that fails in a sandbox that did start is no refusal", () => {
  assert.equal(refusalOf("  buildkitd: could not lock /state/buildkitd.lock", "3\n"), undefined);
});

test("an author who asks for gVisor is told that the other ways out need another sandbox", () => {
  const instead = /; or, with "sandbox: auto" in the source instead of "gvisor": "privileged: true"/;
  const gvisor = { kind: "gvisor", reason: "x" } as const;
  assert.match(noLauncher([gvisor], namesOfPut).message, instead);
  assert.doesNotMatch(noLauncher([{ kind: "direct", reason: "x" }, gvisor], namesOfPut).message, instead);
});
