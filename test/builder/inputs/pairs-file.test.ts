import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePairs } from "../../../src/builder/inputs/pairs-file.ts";

test("a pairs file has one name=value a line; empty lines and comments are passed over", () => {
  const text = "EMAIL=a@b.example\r\n\n# not a pair\nURL=https://x.example/?a=b\nEMPTY=\n SPACED = kept \n";
  assert.deepEqual(parsePairs(text, "repo/args", "build_args_file"), {
    EMAIL: "a@b.example",
    URL: "https://x.example/?a=b",
    EMPTY: "",
    " SPACED ": " kept ",
  });
});

test("a line without an equals sign is refused by its number, without its text", () => {
  assert.throws(() => parsePairs("A=1\nhunter2\n", "repo/args", "build_args_file"), {
    name: "UserError",
    message: "build_args_file: repo/args line 2: expected name=value",
  });
});

test("a YAML pairs file holds strings of several lines, and scalars keep the text they have in the file", () => {
  const text = 'MULTI: |\n  one\n  two\nNUMBER: 1.0\nHEX: 0x10\nYES: true\nQUOTED: "1"\nPLAIN: a b\n';
  assert.deepEqual(parsePairs(text, "repo/args.yaml", "build_args_file"), {
    MULTI: "one\ntwo\n",
    NUMBER: "1.0",
    HEX: "0x10",
    YES: "true",
    QUOTED: "1",
    PLAIN: "a b",
  });
  assert.deepEqual(parsePairs("", "repo/args.yml", "build_args_file"), {});
  assert.deepEqual(parsePairs('{"ONE": "a=b", "TWO": 1.0}', "repo/args.json", "build_args_file"), {
    ONE: "a=b",
    TWO: "1.0",
  });
});

test("nulls, lists and maps in a YAML pairs file are refused by name", () => {
  for (const [text, found] of [
    ["A: 1\nB:\n", "nothing (null)"],
    ["B: [1]\n", "a list"],
    ["B: {c: d}\n", "a map"],
  ] as const) {
    assert.throws(() => parsePairs(text, "x.yml", "build_args_file"), {
      name: "UserError",
      message: `build_args_file: x.yml: B: expected a string, a number or a boolean, found ${found}`,
    });
  }
  assert.throws(() => parsePairs("- a\n", "x.yml", "labels_file"), { message: /expected a YAML map/ });
  assert.throws(() => parsePairs("A: 1\nA: 2\n", "x.yml", "labels_file"), {
    message: /line 2 is not YAML: duplicate key/,
  });
});
