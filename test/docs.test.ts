import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parseDocument } from "yaml";
import { checkPipeline } from "../src/request/pipeline/check-pipeline.ts";
import { matrixRows } from "./containers/matrix.ts";
import { blocksOf, examples, readPages } from "./support/docs/pages.ts";
import { pipelineOf } from "./support/docs/pipelines.ts";
import { pipelineFault } from "./support/runs/schemas.ts";
import { checkout } from "./support/runs/test-step.ts";

test("every block of YAML is one that a pipeline may have, for the program and for the schema", async () => {
  const faults: string[] = [];
  const counts = { source: 0, put: 0, get: 0, task: 0 };
  const pages = [...(await readPages())].flatMap(([name, page]) => blocksOf(name, page));
  for (const { where, language, text } of [...(await examples()), ...pages]) {
    if (!/^ya?ml$/.test(language)) continue;
    const document = parseDocument(text);
    if (document.errors.length > 0) {
      faults.push(`${where}: ${document.errors[0]?.message}`);
      continue;
    }
    const block: unknown = document.toJS();
    // Of Kubernetes, which is none of our business.
    if (typeof block === "object" && block !== null && "apiVersion" in block) continue;
    const pipeline = pipelineOf(block);
    const checked = checkPipeline(JSON.stringify(pipeline), {
      file: where,
      types: [],
      rules: { ofSource: [], ofPut: () => [], ofTask: { ofParams: [], ofHosts: [], ofTask: [] } },
    });
    for (const kind of Object.keys(counts) as (keyof typeof counts)[]) counts[kind] += checked.counts[kind];
    faults.push(...checked.faults.map(({ message }) => `${where}: ${message}`));
    const fault = pipelineFault(pipeline);
    if (fault !== undefined) faults.push(`${where}: pipeline.json: ${fault}`);
  }
  assert.deepEqual(faults, []);
  assert.ok(counts.source >= 12 && counts.put >= 9 && counts.task >= 3, JSON.stringify(counts));
});

test("every link to a file or to a heading leads there", async () => {
  const all = await readPages();
  const broken: string[] = [];
  let links = 0;
  for (const [name, text] of all) {
    for (const [, target = ""] of text.replaceAll(/```[\s\S]*?```/g, "").matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      links++;
      const [path = "", heading] = target.split("#");
      const file = path === "" ? name : join(dirname(name), path);
      const isThere =
        existsSync(join(checkout, file)) &&
        (heading === undefined || headings(all.get(file) ?? "").includes(heading));
      if (!isThere) broken.push(`${name}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
  assert.ok(links >= 20, `only ${links} links`);
});

/** The anchors that GitHub gives to headings. */
function headings(markdown: string): string[] {
  return Array.from(markdown.matchAll(/^#+ (.*)$/gm), ([, title = ""]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test("the README and the docs' index name every page, example and schema", async () => {
  const readme = await readFile(join(checkout, "README.md"), "utf8");
  const index = await readFile(join(checkout, "docs/README.md"), "utf8");
  const missing: string[] = [];
  for await (const name of glob(["docs/*.md", "examples/*.yml", "examples/*/", "schemas/*.json"], {
    cwd: checkout,
  })) {
    // Of a folder of examples, one file leads to the others.
    const end = name.includes(".") ? ")" : "/";
    if (!readme.includes(`](${name}${end}`)) missing.push(`README.md: ${name}`);
    const link = name.startsWith("docs/") ? name.slice("docs/".length) : `../${name}`;
    if (name !== "docs/README.md" && !index.includes(`](${link}${end}`))
      missing.push(`docs/README.md: ${name}`);
  }
  assert.deepEqual(missing, []);
});

test("every put of the examples stores its builds where every worker finds them", async () => {
  for await (const name of glob(["examples/*.yml", "ci/*.yml"], { cwd: checkout }))
    assert.doesNotMatch(await readFile(join(checkout, name), "utf8"), /\bdirectory:/, name);
});

test("the messages that troubleshooting explains are in the program", async () => {
  const page = await readFile(join(checkout, "docs/troubleshooting.md"), "utf8");
  let source = "";
  for await (const name of glob("src/**/*.ts", { cwd: checkout }))
    source += (await readFile(join(checkout, name), "utf8")).replaceAll('\\"', '"');
  const explained = page.slice(page.indexOf("## By message"), page.indexOf("## Nothing fails"));
  const messages = [...explained.matchAll(/^\| +(`[^|]*?) +\|/gm)].flatMap(([, cell = ""]) =>
    Array.from(cell.matchAll(/`([^`]+)`/g), ([, message = ""]) => message),
  );
  // What stands for a part that differs, or for something of BuildKit's.
  const parts = messages.flatMap((message) => message.split(/…|: RUN|"/).map((part) => part.trim()));
  const unknown = parts.filter((part) => part.length > 5 && !source.includes(part));
  assert.deepEqual(unknown, []);
  assert.ok(messages.length >= 12, `${messages.length} messages`);
});

test("every file and folder of code that the architecture names is there", async () => {
  const page = await readFile(join(checkout, "docs/architecture.md"), "utf8");
  const named = Array.from(page.matchAll(/`([\w./-]+(?:\.ts|\/))`/g), ([, name = ""]) => name);
  const missing = named.filter(
    (name) => !existsSync(join(checkout, "src", name)) && !existsSync(join(checkout, name)),
  );
  assert.deepEqual(missing, []);
  assert.ok(named.length >= 30, `${named.length} names`);
});

test("the docs' table of containers says what the tests of containers expect", async () => {
  const page = await readFile(join(checkout, "docs/without-privileges.md"), "utf8");
  const [, section = ""] = page.split("\n## What works in which container\n");
  const [, , ...rows] = section
    .slice(0, section.search(/\n## |$/))
    .split("\n")
    .filter((line) => line.startsWith("|"));
  const cells = rows.map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
  const expected = matrixRows();
  const written = expected.map((row) => `| ${row.join(" | ")} |`).join("\n");
  assert.deepEqual(cells, expected, `the rows have to be:\n${written}`);
});

/**
 * The flags of fly's commands that the docs may name, and whether each takes a value (github.com/concourse/concourse,
 * fly/commands/*.go, as of 8.2).
 */
const flyFlags: Readonly<Record<string, Readonly<Record<string, "value" | "none">>>> = {
  "check-resource": { r: "value", resource: "value", f: "value", from: "value", a: "none", async: "none" },
  intercept: { j: "value", job: "value", b: "value", build: "value", s: "value", step: "value", u: "value" },
  "set-pipeline": { p: "value", pipeline: "value", c: "value", config: "value", v: "value", n: "none" },
  "trigger-job": { j: "value", job: "value", w: "none", watch: "none" },
  execute: { c: "value", config: "value", i: "value", o: "value", p: "none", privileged: "none" },
  "pin-resource": { r: "value", resource: "value", v: "value", version: "value", c: "value" },
};

/** What is wrong with a command line of fly, if anything. */
function flyFault(line: string): string | undefined {
  const words = line.trim().split(/\s+/).slice(1);
  if (words[0] === "-t") words.splice(0, 2);
  const [command = "", ...rest] = words;
  const flags = flyFlags[command];
  if (flags === undefined) return `fly has no command ${command} in the test's table`;
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const kind = flags[word.replace(/^--?/, "")];
    if (!word.startsWith("-") || kind === undefined) return `fly ${command} takes no ${word}`;
    if (kind === "value" && rest.shift() === undefined) return `fly ${command} ${word} needs a value`;
  }
  return undefined;
}

test("each command line of fly in the docs, the messages and the examples is one that fly takes", async () => {
  assert.equal(flyFault("fly -t ci intercept -j pipeline/job -s step"), undefined);
  for (const wrong of [
    "fly hijak",
    "fly intercept --jbo a/b",
    "fly intercept -j",
    "fly check-resource ref:a",
  ])
    assert.ok(flyFault(wrong) !== undefined, wrong);
  const texts = new Map(await readPages());
  for await (const name of glob(["docs/*.yml", "examples/**/*.yml", "ci/*.yml"], { cwd: checkout }))
    texts.set(name, await readFile(join(checkout, name), "utf8"));
  let found = 0;
  for (const [name, text] of texts) {
    const inline = Array.from(text.matchAll(/`(fly [^`]+)`/g), ([, line = ""]) => line);
    const lines = Array.from(text.matchAll(/^[ $#]*(fly (?:-t )?[a-z-]+ .*)$/gm), ([, line = ""]) => line);
    for (const line of [...inline, ...lines]) {
      found++;
      assert.equal(flyFault(line.replaceAll("\n", " ")), undefined, `${name}: ${line}`);
    }
  }
  assert.ok(found >= 3, `${found} command lines`);
});
