import assert from "node:assert/strict";
import { chmod, cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { parse } from "yaml";
import { createPrivateFolder } from "../src/host/private-folder.ts";
import { type Block, blocksOf, readPages } from "./support/docs/pages.ts";
import { runResource } from "./support/runs/resource.ts";
import { checkout, toolEnvironment } from "./support/runs/test-step.ts";

const pages = await readPages();
const blocks = [...pages].flatMap(([name, page]) => blocksOf(name, page));
const manifest = JSON.parse(await readFile(join(checkout, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

/**
 * Stands in for docker: `run` starts the program in this checkout as the image has it, `build` wants a Dockerfile with
 * the args that it is given. Everything else fails.
 */
const docker = `#!/bin/sh
set -eu
checkout='${checkout}'
command=$1
shift
case $command in
push) test $# = 1 ;;
build)
  while [ $# -gt 1 ]; do
    case $1 in
    --build-arg) grep -q "^ARG \${2%%=*}=" Dockerfile ;;
    -t) ;;
    *) exit 64 ;;
    esac
    shift 2
  done
  test -f "$1/Dockerfile"
  ;;
run)
  while :; do
    case $1 in
    --rm | -i) shift ;;
    -v) shift 2 ;;
    -w) cd "$2" && shift 2 ;;
    -*) exit 64 ;;
    *) break ;;
    esac
  done
  case $1 in */oci-build-resource | */oci-build-resource:*) ;; *) exit 64 ;; esac
  program=$2
  shift 2
  case $program in
  cat) cat "$checkout\${1#/opt/resource}" ;;
  *) exec "$checkout/assets/$program" "$@" ;;
  esac
  ;;
*) exit 64 ;;
esac
`;

/** Stands in for npm, which would run all tests: the script has to be there. */
const npm = `#!/bin/sh
[ "$1" = run ] && shift
grep -q "\\"$1\\": " '${checkout}/package.json'
`;

/** A block as a reader runs it: in a clone, with a pipeline of theirs beside it. */
async function runAsReader(block: Block): Promise<void> {
  await using folder = await createPrivateFolder("test-commands");
  const own = join(folder.path, "clone");
  await mkdir(join(own, "schemas"), { recursive: true });
  for (const name of ["assets", "tools", "Dockerfile", "package.json"])
    await symlink(join(checkout, name), join(own, name));
  await cp(join(checkout, "ci"), join(own, "ci"), { recursive: true });
  await cp(join(checkout, "examples/registry.yml"), join(own, "pipeline.yml"));
  const bin = join(folder.path, "bin");
  await mkdir(bin);
  for (const [name, text] of Object.entries({ docker, npm })) {
    await writeFile(join(bin, name), text);
    await chmod(join(bin, name), 0o755);
  }
  const { PATH = "" } = toolEnvironment();
  const env = { ...toolEnvironment(), PATH: `${bin}:${PATH}` };
  const { exitCode, all } = await execa("sh", ["-euc", block.text], {
    cwd: own,
    env,
    all: true,
    reject: false,
  });
  assert.equal(exitCode, 0, `${block.where}: ${all}`);
}

/** `sh tools/setup.sh node … --test FILE`: the file is there, and a test in it has the name. */
async function checkTestCommand(where: string, line: string): Promise<void> {
  const [, file = ""] = /(\S+\.test\.ts)/.exec(line) ?? [];
  const text = await readFile(join(checkout, file), "utf8");
  const [, pattern = ""] = /--test-name-pattern=(\S+)/.exec(line) ?? [];
  assert.match(text, new RegExp(`test\\(["\`][^"\`]*${pattern}`), `${where}: ${line}`);
}

test("every block says what language it is in, and those of commands are run or marked as a session elsewhere", () => {
  for (const [name, page] of pages) {
    const fences = Array.from(page.matchAll(/^ *```(.*)$/gm), ([, language]) => language);
    fences.forEach((language, index) => {
      const expected = index % 2 === 0 ? /^(yaml|json|sh|console|dockerfile|text|mermaid)$/ : /^$/;
      assert.match(language ?? "", expected, `${name}: fence ${index + 1}`);
    });
  }
});

for (const block of blocks.filter(({ language }) => language === "sh")) {
  test(`the commands of ${block.where} work`, async () => {
    const lines = block.text.split("\n");
    const ofTests = lines.filter((line) => line.startsWith("sh tools/setup.sh"));
    for (const line of ofTests) await checkTestCommand(block.where, line);
    const others = lines.filter((line) => !ofTests.includes(line)).join("\n");
    await runAsReader({ ...block, text: others });
  });
}

test("what is typed on another machine, and JSON, is well-formed", async () => {
  for (const { language, text } of blocks) if (language === "json") JSON.parse(text);
  const sessions = blocks.filter(({ language }) => language === "console");
  assert.ok(sessions.length >= 1);
  for (const { where, text } of sessions) {
    const commands = text.replaceAll(/^\$ /gm, "");
    const { exitCode, stderr } = await execa("sh", ["-n"], { input: commands, reject: false });
    assert.equal(exitCode, 0, `${where}: ${stderr}`);
  }
});

const reference = `registry.example.com/shop/web@sha256:${"a".repeat(64)}`;

test("the scripts of tasks hand an image's reference to the program that they are about", async () => {
  const configs = blocks
    .filter(({ language }) => language === "yaml")
    .flatMap(({ where, text }) => scriptsIn(parse(text)).map((task) => ({ where, ...task })));
  assert.ok(configs.length >= 3);
  for (const { where, params, args } of configs) {
    await using folder = await createPrivateFolder("test-script");
    await mkdir(join(folder.path, "web"));
    await writeFile(join(folder.path, "web/reference"), reference);
    await writeFile(join(folder.path, "web/repository"), "registry.example.com/shop/web");
    const shown = join(folder.path, "shown");
    for (const name of ["cosign", "kubectl", "notation"])
      await writeFile(join(folder.path, name), `#!/bin/sh\necho "$@" >> '${shown}'\n`, { mode: 0o755 });
    const PATH = `${folder.path}:${toolEnvironment()["PATH"] ?? ""}`;
    const env = { ...params, PATH, HOME: folder.path };
    const { exitCode, all } = await execa("sh", args, {
      cwd: folder.path,
      env,
      extendEnv: false,
      all: true,
      reject: false,
    });
    assert.equal(exitCode, 0, `${where}: ${all}`);
    assert.ok((await readFile(shown, "utf8")).trimEnd().endsWith(reference), where);
  }
});

interface Script {
  readonly args: readonly string[];
  readonly params: Readonly<Record<string, string>>;
}

/** The configs of tasks that hand a script to a shell: `run: {path: sh, args: [-euc, …]}`. */
function scriptsIn(value: unknown): Script[] {
  if (typeof value !== "object" || value === null) return [];
  const { run, params = {} } = value as {
    run?: { path?: string; args?: string[] };
    params?: Script["params"];
  };
  if (run?.path === "sh") return [{ args: run.args ?? [], params }];
  return Object.values(value).flatMap(scriptsIn);
}

test("every npm script that a page names is there", () => {
  let named = 0;
  for (const [name, page] of pages) {
    for (const [, script = ""] of page.matchAll(/npm (?:run )?(test:?\w*|(?<=run )[\w:]+)/g)) {
      assert.ok(script in manifest.scripts, `${name}: ${script}`);
      named++;
    }
  }
  assert.ok(named >= 8, `${named} scripts`);
});

const messages = (text: string) => [...text.matchAll(/error: .*$/gm)].map(([message]) => message).toSorted();

test("the faults that the page on checking shows are what such a pipeline is told", async () => {
  const source = { repository: "registry.example.com/shop/web", timeouts: { retry: "soon" } };
  const pipeline = {
    resources: [{ name: "web", type: "oci-build", source }],
    jobs: [{ name: "build", plan: [{ put: "web", params: { contxt: "source" } }] }],
  };
  const run = await runResource("validate", { stdin: JSON.stringify(pipeline), env: { NO_COLOR: "1" } });
  const shown = blocks.find(
    ({ where, text }) => where.startsWith("docs/editor.md") && text.includes("contxt"),
  );
  assert.ok(shown);
  assert.deepEqual(messages(shown.text), messages(run.stderr));
});
