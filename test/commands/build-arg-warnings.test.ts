import assert from "node:assert/strict";
import { test } from "node:test";
import { hasOtherFrontend } from "../../src/commands/build-arg-warnings.ts";

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
