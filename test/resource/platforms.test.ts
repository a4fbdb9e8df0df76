import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { buildArm64Program, emulateArm64 } from "../support/runs/emulation.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";

/** Puts for linux/arm64 and gets the root filesystem. */
async function putAndGet(folder: string): Promise<string> {
  const source = { directory: join(folder, "builds") };
  const params = { context: "app", platforms: ["linux/arm64"], unpack_rootfs: true };
  const put = await runResource("out", { args: [join(folder, "put")], stdin: { source, params } });
  const { version, metadata } = versionOf(put);
  assert.equal(metadata.find(({ name }) => name === "platforms")?.value, "linux/arm64");
  const to = join(folder, "get");
  versionOf(await runResource("in", { args: [to], stdin: { source, version } }));
  return to;
}

test("a RUN of another architecture works where the kernel emulates it", async () => {
  await using folder = await createPrivateFolder("test-platforms");
  await using emulation = new AsyncDisposableStack();
  emulation.use(await emulateArm64());
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "program"), await buildArm64Program(), { mode: 0o755 });
  await writeFile(join(app, "Dockerfile"), 'FROM scratch\nCOPY program /\nRUN ["/program", "/result"]\n');
  const delivered = await putAndGet(folder.path);
  assert.equal(await readFile(join(delivered, "rootfs/result"), "utf8"), "arm64");
});

test("an image for another architecture is cross-built without emulation", async () => {
  await using folder = await createPrivateFolder("test-platforms");
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await copyFile("/bin/busybox", join(app, "busybox"));
  const dockerfile = `FROM --platform=$BUILDPLATFORM scratch AS build
COPY busybox /bin/busybox
ARG TARGETARCH
RUN ["/bin/busybox", "sh", "-c", "echo for $TARGETARCH > /result"]
FROM scratch
COPY --from=build /result /
`;
  await writeFile(join(app, "Dockerfile"), dockerfile);
  const delivered = await putAndGet(folder.path);
  assert.equal(await readFile(join(delivered, "rootfs/result"), "utf8"), "for arm64\n");
});
