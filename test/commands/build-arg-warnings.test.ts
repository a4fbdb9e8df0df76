import assert from "node:assert/strict";
import { test } from "node:test";
import type { Inputs } from "../../src/builder/inputs/inputs.ts";
import { hasOtherFrontend, warnOfArgs } from "../../src/commands/build-arg-warnings.ts";
import { paramsPartly } from "../../src/request/read-parts.ts";
import { createTestStep } from "../support/runs/test-step.ts";

test("another frontend is told by the directive syntax, wherever BuildKit finds it", () => {
  const other = "example.org/frontend:1";
  for (const text of [
    `# syntax=${other}\nFROM a\n`,
    `\uFEFF#SYNTAX = ${other} --option\r\nFROM a\n`,
    `# check=skip=all\n# escape=\`\n# syntax=${other}\nFROM a\n`,
    `#!/usr/bin/env build\n# syntax=${other}\n`,
    `// syntax=${other}\nimage { }\n`,
  ])
    assert.equal(hasOtherFrontend({}, text), true, text);
  for (const text of [
    "FROM a\n",
    "# syntax=docker/dockerfile:1\nFROM a\n",
    "# syntax=docker.io/docker/dockerfile-upstream@sha256:0\nFROM a\n",
    `# a comment\n# syntax=${other}\nFROM a\n`,
    `# other=1\n# syntax=${other}\nFROM a\n`,
    `FROM a\n# syntax=${other}\n`,
  ])
    assert.equal(hasOtherFrontend({}, text), false, text);
});

const dockerfile = "ARG A\nARG B=2\nARG base\nARG HTTP_PROXY\nFROM scratch\n";

/** The warnings about these params. */
function warnings(params: Readonly<Record<string, unknown>>): string {
  const { value, faults } = paramsPartly({ context: "app", ...params });
  assert.deepEqual(faults, []);
  assert.ok(value !== undefined);
  const { logged, ...step } = createTestStep();
  const inputs = {
    buildArgs: value.buildArgs,
    dockerfile: { folder: "/app", name: "Dockerfile", shown: "app/Dockerfile", text: dockerfile },
  } as Pick<Inputs, "buildArgs" | "dockerfile"> as Inputs;
  warnOfArgs({ ...value, sourcePolicy: undefined }, inputs, step);
  return logged();
}

test("a value that holds an ARG which isn't given is warned of, and no other value is", () => {
  for (const separator of [" ", "; ", ";", "\t"])
    assert.equal(
      warnings({ build_args: { A: `1${separator}B=3` } }),
      'warning: build_args.A: its value holds "B=", but ARG B of app/Dockerfile isn\'t given as a build arg; if it should be, separate the two by a comma, or write a map\n',
    );
  for (const params of [
    { build_args: { A: "1 B=3", B: "2" } },
    { build_args: { A: "x base=y" }, image_args: { base: "base" } },
    { build_args: { A: "env HTTP_PROXY=x make" } },
    { build_args: { A: "#!/bin/sh\nB=3\n  B=4 make\n" } },
    { build_args: { A: "-DB=3 C=4" } },
  ])
    assert.equal(warnings(params), "", JSON.stringify(params));
});
