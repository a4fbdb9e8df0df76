import assert from "node:assert/strict";
import { test } from "node:test";
import { type PairsFile, parsePairs } from "../../../src/builder/inputs/pairs-file.ts";

const { signal } = new AbortController();

function parse(text: string, path: string, kind: PairsFile["kind"] = "build args") {
  const subject = kind === "labels" ? "labels_file" : "build_args_file";
  return parsePairs(text, { path, subject, kind, signal });
}

async function assertRefused(text: string, path: string, message: RegExp | string, kind?: PairsFile["kind"]) {
  await assert.rejects(parse(text, path, kind), { name: "UserError", message });
}

test("a pairs file has one name=value a line; empty lines and comments are passed over", async () => {
  const text =
    "EMAIL=a@b.example\r\n\n# not a pair\n  # B=2\nURL=https://x.example/?a=b\nEMPTY=\nBLANKS= kept \n";
  assert.deepEqual(await parse(text, "repo/args"), {
    EMAIL: "a@b.example",
    URL: "https://x.example/?a=b",
    EMPTY: "",
    BLANKS: " kept ",
  });
});

test("the last of several lines with one name counts", async () => {
  assert.deepEqual(await parse("A=1\nA=2\n", "args"), { A: "2" });
});

test("a line without an equals sign is refused by its number, without its text", async () => {
  await assertRefused(
    "A=1\nhunter2\n",
    "repo/args",
    "build_args_file: repo/args line 2: expected name=value",
  );
  await assertRefused("=1\n", "repo/args", "build_args_file: repo/args line 1: expected name=value");
});

test("a line whose name can't be meant is refused by its number, and told how to write it", async () => {
  await assertRefused("export A=1\n", "args", /args line 1: .*without "export"/);
  await assertRefused("B=2\nA = 1\n", "args", /args line 2: .*no blanks around the "="/);
  await assertRefused(" A=1\n", "args", /args line 1: .*no blanks around/);
  await assertRefused("A B=1\n", "args", /args line 1: .*the name of a build arg has no blanks/);
  await assertRefused("A = 1\n", "labels", /labels line 1: .*no blanks around the "="/, "labels");
  await assertRefused("export A=1\n", "labels", /labels line 1: .*without "export"/, "labels");
  assert.deepEqual(await parse("a b=1\n", "labels", "labels"), { "a b": "1" });
});

test("a YAML pairs file holds strings of several lines, and scalars keep the text they have in the file", async () => {
  const text =
    'MULTI: |\n  one\n  two\nNUMBER: 1.0\nHEX: 0x10\nYES: true\nQUOTED: "1"\nPLAIN: a b\nN: no\n1: one\nTAGGED: !!str 2\n';
  assert.deepEqual(await parse(text, "repo/args.yaml"), {
    MULTI: "one\ntwo\n",
    NUMBER: "1.0",
    HEX: "0x10",
    YES: "true",
    QUOTED: "1",
    PLAIN: "a b",
    N: "no",
    1: "one",
    TAGGED: "2",
  });
  assert.deepEqual(await parse("", "repo/args.yml"), {});
  assert.deepEqual(await parse("# nothing\n", "repo/args.yml"), {});
  assert.deepEqual(await parse('{"ONE": "a=b", "TWO": 1.0}', "repo/args.json"), { ONE: "a=b", TWO: "1.0" });
});

test("YAML's aliases and empty values are read as the oci-build task reads them, and so is the first of several documents", async () => {
  assert.deepEqual(await parse("A: &a one\nB: *a\n*a : &a two\nC: *a\n", "x.yml"), {
    A: "one",
    B: "one",
    one: "two",
    C: "two",
  });
  assert.deepEqual(await parse("A:\nB: ~\nC: null\nD: ''\n", "x.yml"), { A: "", B: "", C: "", D: "" });
  assert.deepEqual(await parse("---\nA: 1\n---\nA: 2\n...\n", "x.yml"), { A: "1" });
});

test("lists, maps and unknown aliases in a YAML pairs file are refused by line and name", async () => {
  for (const [text, found] of [
    ["B: [1]\n", "a list"],
    ["B: {c: d}\n", "a map"],
    ["B: &m {c: d}\n", "a map"],
  ] as const) {
    const expected = `build_args_file: x.yml line 1: B: expected a string, a number or a boolean, found ${found}; to pass JSON, put it in quotes`;
    await assertRefused(text, "x.yml", expected);
  }
  await assertRefused("A: 1\nB: *a\n", "x.yml", /x\.yml line 2: B: .*no such anchor/);
  await assertRefused("- a\n", "x.yml", /expected a YAML map/, "labels");
  await assertRefused("? [a]\n: 1\n", "x.yml", /line 1: expected a plain name/);
  await assertRefused("A: 1\nA: 2\n", "x.yml", /x\.yml line 2: A is given twice/, "labels");
  await assertRefused(
    "A: 1\nB: '\n",
    "x.yml",
    /x\.yml line \d: expected YAML; the parser found: missing char/,
  );
});

test("names in a YAML pairs file are those that build args and labels can have", async () => {
  await assertRefused('"=": 1\n', "x.yml", /line 1: .*without "="/);
  await assertRefused("A: 1\nexport B: 1\n", "x.yml", /line 2: .*without "export"/);
  await assertRefused('{"A ": 1}', "x.json", /line 1: .*no blanks/);
  assert.deepEqual(await parse("a b: 1\n", "x.yml", "labels"), { "a b": "1" });
});

test("lines in a file that its name calls YAML are recognized", async () => {
  const hint = /x\.yml line 1: found name=value.*ends in \.yml.*name: value/;
  await assertRefused("A=1\nB=2\n", "x.yml", hint);
  await assertRefused("A=https://x.example: 1\n", "x.yml", hint);
});

test("a JSON object is read as one whatever the file's name", async () => {
  assert.deepEqual(await parse('{ "A": "1",\n "B": 1.50, "C": false }\n', "args"), {
    A: "1",
    B: "1.50",
    C: "false",
  });
  await assertRefused('{"A": 1\n', "args", /args line 1: expected name=value/);
});

const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}: 1\n`).join("");

test("a YAML file of very many keys is read in linear time, and an abort ends it", {
  timeout: 120_000,
}, async () => {
  assert.equal(Object.keys(await parse(keys(20_000), "x.yml")).length, 20_000);
  const aborter = new AbortController();
  const reading = parsePairs(keys(110_000), {
    path: "x.yml",
    subject: "labels_file",
    kind: "labels",
    signal: aborter.signal,
  });
  setTimeout(() => aborter.abort(new Error("enough")), 100);
  await assert.rejects(reading, { message: "enough" });
});
