import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { type Block, blocksOf, examples, readPages } from "../support/docs/pages.ts";
import { openPlayground } from "../support/docs/playground.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";

/*
 * What the pages and the examples show is run as it stands, by the real executables: each put with the Dockerfile that
 * its section shows, the gets behind it, and each task in our image. Only names are others: of registries, of git's
 * server and of variables, which the playground has.
 */
const [playground] = await untilTestsEnd(openPlayground());

/** Not ours to build in a test: test/resource/own-image.test.ts builds the resource's image. */
const elsewhere = new Set(["ci/pipeline.yml"]);

const pages = [...(await readPages())].map(([name, page]) => ({ name, blocks: blocksOf(name, page) }));
const files = (await examples()).map((block) => ({ name: block.where, blocks: [block] }));
let puts = 0;
let tasks = 0;

for (const { name, blocks } of [...pages, ...files]) {
  const shown = blocks.filter(({ language }) => /^(ya?ml|dockerfile)$/.test(language));
  if (elsewhere.has(name) || !shown.some(isRun)) continue;
  test(`what ${name} shows is run as it stands`, async () => {
    for (const [index, block] of shown.entries()) {
      const next = shown[index + 1];
      if (block.language === "dockerfile") {
        // One that no put follows is built by itself.
        if (next === undefined || next.section !== block.section || next.language === "dockerfile")
          await playground.run(block.where, [{ put: "web", params: { context: "source" } }], block.text);
        continue;
      }
      const dockerfile = shown
        .slice(0, index)
        .findLast(({ language, section }) => language === "dockerfile" && section === block.section);
      const ran = await playground.run(block.where, parse(block.text), dockerfile?.text);
      puts += ran.puts;
      tasks += ran.tasks;
    }
  });
}

test("a file of build args means what the page on them says", async () => {
  const shown = pages.find(({ name }) => name === "docs/build-args.md")?.blocks ?? [];
  const [lines, map] = shown.filter(({ language }) => language === "text");
  assert.ok(lines !== undefined && map !== undefined);
  const expected = [
    { name: "lines", text: lines.text, message: 'two words, a "quote" and a = are all part of the value' },
    { name: "map.yml", text: map.text, message: "quotes and escapes are YAML's: \t" },
  ];
  await using site = await makeSite(
    'ARG VERSION\nARG MESSAGE\nARG EMPTY=default\nRUN printf "%s|%s|%s" "$VERSION" "$MESSAGE" "$EMPTY" > /result\n',
  );
  for (const { name, text, message } of expected) {
    await writeFile(join(site.inputs, "app", name), text);
    const put = await site.put({ build_args_file: `app/${name}` });
    assert.equal(await result(await site.get(put)), `1.10|${message}|`);
  }
});

test("puts and tasks of many pages were run", () => {
  assert.ok(puts >= 25, `${puts} puts`);
  assert.ok(tasks >= 3, `${tasks} tasks`);
});

function isRun({ language, text }: Block): boolean {
  return language === "dockerfile" || /^ *(- )?(put|get|task|params|get_params|build_args):\s/m.test(text);
}
