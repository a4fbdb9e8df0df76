import assert from "node:assert/strict";
import { test } from "node:test";
import { createProgressBoard } from "../../../src/builder/progress/follow.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

/** What is logged when BuildKit's import of a layer cache ends with this error. */
function loggedFor(error: string): string {
  const { log, logged } = createTestStep();
  const following = createProgressBoard({ log, style: "steps" }).follow(undefined);
  const [started, completed] = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"];
  const name = "importing cache manifest from registry.example/app:cache";
  const vertex = { digest: `sha256:${"0".repeat(64)}`, name, started, completed, error };
  following.write(Buffer.from(`${JSON.stringify({ vertexes: [vertex] })}\n`));
  assert.equal(following.end().failure, undefined);
  return logged();
}

test("a layer cache that can't be used is told, with the reason", () => {
  assert.match(loggedFor("connection refused"), /layer cache not used \(.*app:cache\): connection refused/);
});

test("a layer cache that isn't there yet, or is left by an abort, is no trouble", () => {
  assert.equal(loggedFor("registry.example/app:cache: not found"), "");
  assert.equal(loggedFor("rpc error: code = Canceled desc = context canceled"), "");
  assert.equal(loggedFor("failed to solve: context canceled"), "");
});
