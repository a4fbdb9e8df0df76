import assert from "node:assert/strict";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";

interface Task {
  readonly env?: Readonly<Record<string, string>>;
  readonly dockerfile?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** Runs a task in a folder with the input `app`, which has a shell. */
async function task({ env = {}, dockerfile = "FROM scratch\n", files = {} }: Task): Promise<Run> {
  await using folder = await createPrivateFolder("test-task");
  for (const [path, content] of Object.entries({ "app/Dockerfile": dockerfile, ...files })) {
    await mkdir(dirname(join(folder.path, path)), { recursive: true });
    await writeFile(join(folder.path, path), content);
  }
  await copyFile("/bin/busybox", join(folder.path, "app/busybox"));
  return await runResource("build", { cwd: folder.path, env: { NO_COLOR: "1", CONTEXT: "app", ...env } });
}

const shell = 'FROM scratch\nCOPY busybox /bin/busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n';

/** Texts of an author that look like what messages say of a put's params and a resource's source. */
const alike = [
  "target: libweb",
  "context is missing",
  "params.platforms.1: expected two",
  "there is no build_args_file and no unpack_rootfs",
  'see under "registries" in the source, or check "platforms"',
  'set "sandbox: auto" in the source (SANDBOX in a task)',
  'name it under "allow" in the params',
  "secrets: {npm: {text: …}} and ssh: {default: …}",
  '"buildkit: {address: x}" in the source',
];

test("the output of a step that failed is shown to a task's author as the step wrote it", async () => {
  const run = await task({
    dockerfile: `${shell}COPY said /said\nRUN /bin/busybox cat /said; exit 3\n`,
    files: { "app/said": `${alike.join("\n")}\n` },
  });
  assertFailedCleanly(run, /exit code: 3/);
  const error = run.stderr.slice(run.stderr.indexOf("error: "));
  for (const line of alike) assert.ok(error.includes(`  ${line}\n`), `${line}\n${error}`);
});

test("the Dockerfile's lines are shown to a task's author as they are", async () => {
  const line = "RUN make target_file in the source && exit 1";
  const run = await task({ dockerfile: `${shell}${line}\n` });
  assertFailedCleanly(run, /exit code: 1/);
  assert.ok(run.stderr.slice(run.stderr.indexOf("error: ")).includes(line), run.output);
});

test("warnings of BuildKit's checks name the Dockerfile's own args to a task's author", async () => {
  const run = await task({ env: { CALL: "check" }, dockerfile: "FROM scratch\nCOPY $target_file /\n" });
  assert.match(run.output, /Usage of undefined variable '\$target_file'/);
});

test("paths and values are shown to a task's author as they were given", async () => {
  const files = { "app/in the source/my labels_file of it": "x\n" };
  const file = Object.keys(files)[0] ?? "";
  assertFailedCleanly(
    await task({ files, env: { BUILD_ARGS_FILE: file } }),
    /BUILD_ARGS_FILE: app\/in the source\/my labels_file of it line 1: /,
  );
  assertFailedCleanly(await task({ env: { DOCKERFILE: "a add_hosts b" } }), /DOCKERFILE: .*"a add_hosts b"/);
  assertFailedCleanly(
    await task({ env: { TARGET: "output_oci" }, dockerfile: "FROM scratch AS no_cache\n" }),
    /target stage "?output_oci"? could not be found/,
  );
});

test("what the log says of a task's source policy names its variable", async () => {
  const rule = {
    action: "CONVERT",
    selector: { identifier: "docker-image://registry.example/base:1" },
    updates: { identifier: "docker-image://registry.example/base:2" },
  };
  const run = await task({
    env: { SOURCE_POLICY: JSON.stringify({ rules: [rule] }) },
    dockerfile: "FROM scratch\nCOPY Dockerfile /\n",
  });
  assert.match(run.output, /^SOURCE_POLICY: no image of this build matches/m);
});
