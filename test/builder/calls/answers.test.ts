import assert from "node:assert/strict";
import { test } from "node:test";
import { readTargetTable } from "../../../src/builder/calls/list-targets.ts";
import { readFindings } from "../../../src/builder/calls/read-findings.ts";

// The answers are those of BuildKit 0.34.

test("findings are read with rule, place and page; one without a place is the whole file's", () => {
  const answer = `
WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'Final' should be lowercase
Dockerfile:12
--------------------
  10 |     RUN echo 'WARNING: none'
  11 |     # WARNING: a comment
  12 | >>> from base as Final
--------------------

WARNING: OwnRule
The file as a whole: 12
`;
  assert.deepEqual(readFindings(answer, "app/Dockerfile"), [
    {
      file: "app/Dockerfile",
      line: 12,
      text: "StageNameCasing: Stage name 'Final' should be lowercase",
      url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
    },
    { file: "app/Dockerfile", line: undefined, text: "OwnRule: The file as a whole: 12", url: "" },
  ]);
  assert.deepEqual(readFindings("", "Dockerfile"), []);
});

test("targets are read with the default and descriptions, with or without a name", () => {
  const answer = `TARGET         DESCRIPTION
base           
               
last (default) is é, the  last
`;
  assert.deepEqual(readTargetTable(answer), [
    { name: "base", isDefault: false, description: "" },
    { name: "", isDefault: false, description: "" },
    { name: "last", isDefault: true, description: "is é, the  last" },
  ]);
  assert.deepEqual(readTargetTable("TARGET    DESCRIPTION\n(default) \n"), [
    { name: "", isDefault: true, description: "" },
  ]);
});

test("what isn't a table of targets is no answer", () => {
  for (const answer of ["", "\n", "TARGET\n", "built\n"]) assert.equal(readTargetTable(answer), undefined);
});
