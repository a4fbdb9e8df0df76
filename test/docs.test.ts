import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { glob, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parseDocument } from "yaml";
import { getFields } from "../src/request/get-params.ts";
import { checkPipeline } from "../src/request/pipeline/check-pipeline.ts";
import { putParams } from "../src/request/put-params.ts";
import { sourceFields } from "../src/request/source.ts";
import { pipelineFault } from "./support/runs/schemas.ts";
import { checkout } from "./support/runs/test-step.ts";

async function pages(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const name of glob(["*.md", "docs/*.md"], { cwd: checkout }))
    found.set(name, await readFile(join(checkout, name), "utf8"));
  return found;
}

interface Block {
  /** `docs/caching.md:20` */
  readonly where: string;
  readonly yaml: string;
}

/** Every block of YAML in the README and the docs, and every file of examples/ and ci/. */
async function blocks(): Promise<Block[]> {
  const found: Block[] = [];
  for await (const where of glob(["examples/*.yml", "ci/*.yml"], { cwd: checkout }))
    found.push({ where, yaml: await readFile(join(checkout, where), "utf8") });
  for (const [name, text] of await pages()) {
    for (const { 1: yaml = "", index } of text.matchAll(/^ *```ya?ml\n([\s\S]*?)^ *```/gm))
      found.push({ where: `${name}:${text.slice(0, index).split("\n").length}`, yaml });
  }
  return found;
}

type Fields = Readonly<Record<string, unknown>>;

const repository = "registry.example/web";

/** The pipeline that a block is a part of: steps, resources, one resource or step, or some fields of a source or a put. */
function pipelineOf(block: unknown): Fields {
  const list = Array.isArray(block) ? (block as Fields[]) : undefined;
  const has = (...names: readonly string[]) =>
    (list ?? [block as Fields]).every((part) => names.some((name) => name in part));
  if (has("put", "get", "task", "load_var")) return withSteps(list ?? [block as Fields]);
  if (has("type")) return { resources: list ?? [block] };
  assert.ok(list === undefined, "a list of neither steps nor resources");
  const fields = block as Fields;
  if (has("jobs", "resources", "resource_types")) return withResources(fields);
  if (has("source")) return { resources: [{ name: "web", type: "oci-build", ...fields }] };
  const params = Object.keys(fields["params"] ?? {});
  if (params.length > 0 && params.every((name) => /^[A-Z]/.test(name))) return withSteps([ownTask(fields)]);
  if (has("params", "get_params", "inputs")) return withSteps([{ put: "web", ...fields }]);
  const names = Object.keys(fields);
  if (names.every((name) => name in sourceFields))
    return { resources: [{ name: "web", type: "oci-build", source: { repository, ...fields } }] };
  if (names.every((name) => name in putParams)) return withSteps([{ put: "web", params: fields }]);
  assert.ok(
    names.every((name) => name in getFields),
    `what is a block of ${names.join(", ")}?`,
  );
  return withSteps([{ get: "web", params: fields }]);
}

/** A task in our image. */
function ownTask({ params }: Fields): Fields {
  const source = { repository: "registry.example/ci/oci-build-resource" };
  return { task: "build", config: { image_resource: { type: "registry-image", source }, params } };
}

function withSteps(plan: readonly Fields[]): Fields {
  return withResources({ jobs: [{ name: "build", plan }] });
}

/** With the resources that a block leaves out: what is put, and nowhere declared, is an image. */
function withResources(pipeline: Fields): Fields {
  const resources = (pipeline["resources"] ?? []) as readonly Fields[];
  const put = JSON.stringify(pipeline["jobs"] ?? []).matchAll(/"put":"([^"]+)"/g);
  const missing = new Set([...put].map(([, name]) => name));
  for (const { name } of resources) missing.delete(name as string);
  const images = [...missing].map((name) => ({ name, type: "oci-build", source: { repository } }));
  return { ...pipeline, resources: [...resources, ...images] };
}

test("every block of YAML is one that a pipeline may have, for the program and for the schema", async () => {
  const faults: string[] = [];
  const counts = { source: 0, put: 0, get: 0, task: 0 };
  for (const { where, yaml } of await blocks()) {
    const document = parseDocument(yaml);
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
      checkParams: () => {},
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
  const all = await pages();
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

test("the docs' index names every page, example and schema", async () => {
  const index = await readFile(join(checkout, "docs/README.md"), "utf8");
  const missing: string[] = [];
  for await (const name of glob(["docs/*.md", "examples/*.yml", "schemas/*.json"], { cwd: checkout })) {
    const link = name.startsWith("docs/") ? name.slice("docs/".length) : `../${name}`;
    if (name !== "docs/README.md" && !index.includes(`](${link})`)) missing.push(name);
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
