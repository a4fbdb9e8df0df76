import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startRegistry } from "../support/servers/registry.ts";

const shell = `FROM scratch AS shell
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
`;

async function makeContext(folder: string, dockerfile: string): Promise<void> {
  await mkdir(join(folder, "app"), { recursive: true });
  await writeFile(join(folder, "app/Dockerfile"), dockerfile);
  await copyFile("/bin/busybox", join(folder, "app/busybox"));
}

/** Runs the task in its folder; it must succeed. */
async function build(folder: string, params: Readonly<Record<string, string>>): Promise<void> {
  const run = await runResource("build", { cwd: folder, env: { CONTEXT: "app", ...params } });
  assert.equal(run.status, 0, run.output);
  assert.equal(run.stdout, "");
  assert.deepEqual(run.leftovers, []);
}

test("a task delivers image.tar and digest, and the folder serves another task as its IMAGE_ARG", async () => {
  await using folder = await createPrivateFolder("test-task");
  await makeContext(folder.path, `${shell}RUN echo base > /base\n`);
  await build(folder.path, {});
  const image = join(folder.path, "image");
  assert.deepEqual((await readdir(image)).toSorted(), [
    "build.json",
    "digest",
    "image.tar",
    "labels.json",
    "metadata.json",
  ]);
  const inspect = ["inspect", "--config", "--raw", `docker-archive:${join(image, "image.tar")}`];
  const { stdout } = await execa("skopeo", inspect, { stripFinalNewline: false, encoding: "buffer" });
  const hash = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(stdout))).toString("hex");
  assert.equal(await readFile(join(image, "digest"), "utf8"), `sha256:${hash}`);

  await using other = await createPrivateFolder("test-task");
  await makeContext(other.path, `ARG base_image\nFROM \${base_image}\nRUN cp /base /result\n`);
  await execa("cp", ["-r", image, join(other.path, "base")]);
  for (const path of ["base", "base/image.tar"]) {
    await build(other.path, { IMAGE_ARG_base_image: path, UNPACK_ROOTFS: "true" });
    assert.equal(await readFile(join(other.path, "image/rootfs/result"), "utf8"), "base\n");
    await execa("rm", ["-rf", join(other.path, "image")]);
  }
});

test("a task for several platforms delivers an OCI layout, with the worker's root if it is asked for", async () => {
  await using folder = await createPrivateFolder("test-task");
  await makeContext(folder.path, "FROM scratch\nARG TARGETARCH\nCOPY Dockerfile /for-$TARGETARCH\n");
  await build(folder.path, { IMAGE_PLATFORM: "linux/amd64,linux/arm64", UNPACK_ROOTFS: "true" });
  const image = join(folder.path, "image");
  const own = process.arch === "x64" ? "amd64" : process.arch;
  assert.deepEqual(await readdir(join(image, "rootfs")), [`for-${own}`]);
  const { stdout } = await execa("skopeo", ["inspect", "--raw", `oci:${join(image, "image")}`]);
  assert.equal((JSON.parse(stdout) as { manifests: unknown[] }).manifests.length, 2);
  assert.ok(!(await readdir(image)).includes("image.tar"));
});

test("build args and labels that stand one a line below a variable are each what its line says", async () => {
  await using folder = await createPrivateFolder("test-task");
  await makeContext(folder.path, "FROM scratch\nARG A\nARG B\nLABEL a=$A b=$B\nCOPY Dockerfile /\n");
  await build(folder.path, { BUILD_ARGS: "A=1,2\r\nB=x y\r\n", LABELS: "c=3\nd=4\n" });
  const labels: unknown = JSON.parse(await readFile(join(folder.path, "image/labels.json"), "utf8"));
  assert.deepEqual(labels, { a: "1,2", b: "x y", c: "3", d: "4" });
});

test("variables of other tasks, params of puts alone and misspelt ones are told, as they have no effect", async () => {
  await using folder = await createPrivateFolder("test-task");
  await makeContext(folder.path, "FROM scratch\n");
  const run = await runResource("build", {
    cwd: folder.path,
    env: {
      CONTEXT: "app",
      CALL: "targets",
      NO_COLOR: "1",
      REPOSITORY: "registry.example/web",
      DOCKER_PASSWORD: "hunter22",
      TAGS: "latest",
      PLATFORMS: "linux/amd64",
      PLATFORM: "linux/arm64",
      CACHE_FROM: "registry.example/web:cache",
      DESTINATION: "registry.example/web",
      LOAD: "true",
      MEMORY: "512m",
      NO_PUSH: "true",
      OUTPUT: "type=docker",
      SHM_SIZE: "64m",
      SQUASH: "true",
      TAG: "",
      target: "",
      DATABASE: "x",
      TARGT: "x",
      UNPACK_ROOT_FS: "true",
      ADDITIONAL_TARGET: "",
      CONSTANT: "x",
    },
  });
  assert.equal(run.status, 0, run.output);
  const warnings = run.stderr.split("\n").filter((line) => line.startsWith("warning: "));
  assert.deepEqual(warnings.toSorted(), [
    "warning: the task doesn't read CACHE_FROM; give the task a cache: caches: [{path: cache}]",
    "warning: the task doesn't read DESTINATION, REPOSITORY; the task only builds: push image/image.tar by a put of the registry-image resource, or build by a put of this resource instead of the task",
    "warning: the task doesn't read DOCKER_PASSWORD; write REGISTRIES: {registry.example: {username: …, password: …}}",
    "warning: the task doesn't read LOAD; remove it: the task delivers image/image.tar, unless OUTPUT_OCI is true",
    "warning: the task doesn't read MEMORY; did you mean BUILDKIT_OPTION_memory?",
    "warning: the task doesn't read NO_PUSH; remove it: the task never pushes",
    "warning: the task doesn't read OUTPUT; remove it: the task delivers into the output image; OUTPUT_OCI and UNPACK_ROOTFS say in which form",
    "warning: the task doesn't read PLATFORM, PLATFORMS; did you mean IMAGE_PLATFORM?",
    "warning: the task doesn't read SHM_SIZE, TAGS; only a put has such a param",
    "warning: the task doesn't read SQUASH; remove it: BuildKit can't; copy the result into a last stage FROM scratch",
    "warning: the task doesn't read TARGT; did you mean TARGET?",
    "warning: the task doesn't read UNPACK_ROOT_FS; did you mean UNPACK_ROOTFS?",
  ]);
  assert.doesNotMatch(run.output, /hunter22/);
});

test("a task's ssh keys reach RUN", async () => {
  await using folder = await createPrivateFolder("test-task");
  const run = 'RUN --mount=type=ssh,id=github [ -S "$SSH_AUTH_SOCK" ] && echo agent > /result\n';
  await makeContext(folder.path, shell + run);
  await mkdir(join(folder.path, "keys"));
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder.path, "keys/id")]);
  await build(folder.path, { BUILDKIT_SSH: "github=keys/id", UNPACK_ROOTFS: "true" });
  assert.equal(await readFile(join(folder.path, "image/rootfs/result"), "utf8"), "agent\n");
});

test("a task meets a registry whose CA its BuildKit configuration names", async () => {
  await using folder = await createPrivateFolder("test-task");
  await using authority = await createAuthority();
  await using registry = await startRegistry({ tls: await authority.server() });
  const layout = await writeLayout(join(folder.path, "layout"));
  await execa("skopeo", [
    "copy",
    "--dest-tls-verify=false",
    `oci:${layout.folder}`,
    `docker://${registry.host}/base:1`,
  ]);
  await makeContext(folder.path, `FROM ${registry.host}/base:1\nRUN echo trusted > /result\n`);
  const untrusted = await runResource("build", {
    cwd: folder.path,
    env: { CONTEXT: "app", BUILDKIT_EXTRA_CONFIG: `[registry."${registry.host}"]\n  http = false\n` },
  });
  assertFailedCleanly(untrusted, /certificate signed by unknown authority/);
  const config = `[registry."${registry.host}"]\n  http = false\n  ca = ["${authority.ca}"]\n`;
  await build(folder.path, { BUILDKIT_EXTRA_CONFIG: config, UNPACK_ROOTFS: "true" });
  assert.equal(await readFile(join(folder.path, "image/rootfs/result"), "utf8"), "trusted\n");
});

test("a put meets a registry by its CA and password, for base images and for the store alike", async () => {
  await using folder = await createPrivateFolder("test-task");
  await using authority = await createAuthority();
  const htpasswd = { user: "a password, with = and %" };
  await using registry = await startRegistry({ tls: await authority.server(), htpasswd });
  const layout = await writeLayout(join(folder.path, "layout"));
  const login = { username: "user", password: htpasswd.user, ca: authority.ca };
  await pushLayout(layout.folder, `${registry.host}/base:1`, login);
  await makeContext(folder.path, `FROM ${registry.host}/base:1\nRUN echo pulled > /result\n`);
  const source = {
    repository: `${registry.host}/team/app`,
    username: "user",
    password: htpasswd.user,
    ca_certs: await readFile(authority.ca, "utf8"),
  };
  const params = { context: "app", unpack_rootfs: true };
  const put = (given: unknown) =>
    runResource("out", { args: [folder.path], stdin: { source: given, params } });
  const wrong = await put({ ...source, password: "wrong" });
  assertFailedCleanly(wrong, /check username and password in the source/);
  assert.doesNotMatch(wrong.stderr, /RUN echo/);
  const run = await put(source);
  assert.equal(run.status, 0, run.output);
  const { version } = JSON.parse(run.stdout) as { version: unknown };
  const to = join(folder.path, "get");
  const got = await runResource("in", { args: [to], stdin: { source, version } });
  assert.equal(got.status, 0, got.output);
  assert.equal(await readFile(join(to, "rootfs/result"), "utf8"), "pulled\n");
  for (const said of [wrong.output, run.output, got.output]) assert.ok(!said.includes(htpasswd.user));
});
