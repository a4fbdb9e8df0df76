import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startResource, versionOf } from "../support/resource.ts";

/** Processes whose environment holds this mark: all that came from one run. */
async function processesOf(mark: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const environ = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    if (environ.includes(mark))
      found.push((await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")) || pid);
  }
  return found;
}

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
      const mark = `ABORT_MARK_${crypto.randomUUID().replaceAll("-", "")}`;
      const inputs = await makeInputs(folder.path, dockerfile(mark));
      const source = { directory: join(folder.path, "builds") };
      const env = { NO_COLOR: "1", [mark]: "1" };
      const started = await startResource("out", {
        args: [inputs],
        stdin: { source, params: { context: "app" } },
        env,
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
      assert.deepEqual(await readdir(source.directory), [version.digest.slice("sha256:".length)]);
    });
  }
}

/** Waits until no process of a run is left. After SIGKILL the kernel ends them one after the other. */
async function gone(mark: string): Promise<void> {
  const deadline = performance.now() + 5000;
  for (;;) {
    const left = await processesOf(mark);
    if (left.length === 0) return;
    assert.ok(performance.now() < deadline, `still there: ${left.join("; ")}`);
  }
}
