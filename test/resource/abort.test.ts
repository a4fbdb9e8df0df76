import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { concourseLimit } from "../../src/host/abort-budget.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { withDisk } from "../support/runs/disks.ts";
import { gone, newMark } from "../support/runs/processes.ts";
import { startResource, versionOf } from "../support/runs/resource.ts";
import { checkout } from "../support/runs/test-step.ts";

const dockerfile = (marker: string) => `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "sh", "-c", "echo running; ${marker}=1 /bin/busybox sleep 600"]
`;

async function makeInputs(folder: string, text: string): Promise<string> {
  const inputs = join(folder, "put");
  await mkdir(join(inputs, "app"), { recursive: true });
  await writeFile(join(inputs, "app/Dockerfile"), text);
  await copyFile("/bin/busybox", join(inputs, "app/busybox"));
  return inputs;
}

const moments: readonly { readonly what: string; readonly sign: RegExp }[] = [
  { what: "when BuildKit is ready", sign: /building with/ },
  { what: "while a RUN sleeps", sign: /\] running/ },
];

for (const { what, sign } of moments) {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    test(`a put that gets ${signal} ${what} leaves no process and no build; the next put works`, async () => {
      await using folder = await createPrivateFolder("test-abort");
      const mark = newMark();
      const inputs = await makeInputs(folder.path, dockerfile(mark));
      const source = { directory: join(folder.path, "builds") };
      const env = { NO_COLOR: "1", [mark]: "1" };
      const started = await startResource("out", {
        args: [inputs],
        stdin: { source, params: { context: "app" } },
        env,
        // So that the state of a daemon whose put is killed goes with it.
        under: withDisk("/var/lib", "size=100m"),
      });
      await started.wrote(sign);
      const begun = performance.now();
      started.kill(signal);
      const run = await started.result;
      assert.ok(performance.now() - begun < 8000, "Concourse waits ten seconds");
      assert.notEqual(run.status, 0);
      assert.equal(run.stdout, "");
      await gone(mark);
      if (signal === "SIGTERM") {
        assert.deepEqual(run.leftovers, []);
        assert.deepEqual(await readdir(source.directory), []);
      }
      await writeFile(join(inputs, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
      const again = await startResource("out", {
        args: [inputs],
        stdin: { source, params: { context: "app" } },
      });
      const { version } = versionOf(await again.result);
      assert.deepEqual(await readdir(source.directory), [`build-${version.digest.slice("sha256:".length)}`]);
    });
  }
}

test("a put that hears of its abort but can't come to an end exits before Concourse kills it", async () => {
  await using folder = await createPrivateFolder("test-abort");
  const inputs = await makeInputs(folder.path, "FROM scratch\nCOPY Dockerfile /\n");
  // As a disk that has gone away does: no file is ever read.
  const hangs = `import fs from "node:fs/promises"; import { syncBuiltinESMExports } from "node:module";
    fs.readFile = () => { console.error("reading"); return new Promise(() => {}); };
    syncBuiltinESMExports(); setInterval(() => {}, 1000);`;
  const started = await startResource("out", {
    args: [inputs],
    stdin: { source: { directory: join(folder.path, "builds") }, params: { context: "app" } },
    // A start from the snapshot imports nothing more.
    from: join(checkout, "assets"),
    env: { NO_COLOR: "1", NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hangs)}` },
  });
  await started.wrote(/reading/);
  const begun = performance.now();
  started.kill("SIGTERM");
  const run = await started.result;
  assert.ok(performance.now() - begun < concourseLimit, "Concourse kills after ten seconds");
  assert.equal(run.status, 143);
  assert.match(run.stderr, /aborted by SIGTERM/);
});
