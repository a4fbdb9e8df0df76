import assert from "node:assert/strict";
import { test } from "node:test";
import { optionValues } from "../../src/request/option-values.ts";
import { taskForms } from "../../src/request/put-params.ts";
import { foreignVariables, insteadOfVariable } from "../../src/request/unread-variables.ts";

test("what is advised instead of a variable of another tool is one that the task reads", () => {
  const forms = Object.values(taskForms).flat();
  const known = [
    ...forms.map((form) => (form.kind === "whole" ? form.name : `${form.prefix}*`)),
    ...Object.keys(optionValues).map((name) => `BUILDKIT_OPTION_${name}`),
    "CALL",
    "REGISTRIES",
  ];
  for (const [name, advice] of Object.entries(foreignVariables)) {
    assert.equal(insteadOfVariable(name), advice, `${name} is read, or advised on by its form`);
    const named =
      advice.match(/\b[A-Z]{2,}(?:_[A-Za-z]+)*(?:_\*)?/g)?.filter((each) => each !== "FROM") ?? [];
    for (const each of named.filter((other) => other !== "DOCKER_CONFIG"))
      assert.ok(known.includes(each), `${name}: ${each}`);
  }
});
