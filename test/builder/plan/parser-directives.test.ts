import assert from "node:assert/strict";
import { test } from "node:test";
import { parserDirective, withoutCheckComments } from "../../../src/builder/plan/parser-directives.ts";

test("directives are read from the lines before any other, in any order and case", () => {
  const text =
    "\uFEFF# ESCAPE = `\r\n#check=skip=all;error=true\n#  syntax=a/b:1 --flag  \nFROM a\n# check=no\n";
  assert.equal(parserDirective(text, "escape"), "`");
  assert.equal(parserDirective(text, "check"), "skip=all;error=true");
  assert.equal(parserDirective(text, "syntax"), "a/b:1 --flag");
  assert.equal(parserDirective("#!/bin/sh\n# syntax=a\n# escape=`\n", "syntax"), "a");
  assert.equal(parserDirective("#!/bin/sh\n# escape=`\n", "escape"), "");
  assert.equal(parserDirective("// check=b\n// syntax=a\n", "syntax"), "a");
  assert.equal(parserDirective("// check=b\n", "check"), "");
});

test("a directive without a value is a comment, after which there are no directives", () => {
  for (const before of ["# check=", "# check", "# other=1", " # check=a", "", "FROM a"])
    assert.equal(parserDirective(`${before}\n# syntax=a\n`, "syntax"), "", before);
});

test("check comments of instructions are taken out, and directives and other comments are not", () => {
  const directives = "\uFEFF# check=skip=all\n# syntax=a\n";
  const text = `${directives}FROM a\n  # CHECK = skip=all\r\nRUN a\n# check=\n# checks=a\n# a check=b\nRUN # check=c\n`;
  assert.equal(withoutCheckComments(text), text.replace("CHECK =", "CHECK  "));
  // BuildKit takes this for the comment of an instruction.
  assert.equal(withoutCheckComments("# check=\n# check=a\nFROM a\n"), "# check=\n# check a\nFROM a\n");
  assert.equal(withoutCheckComments(directives), directives);
});
