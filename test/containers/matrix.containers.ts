import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { execa } from "execa";
import { createPrivateFolder, type PrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putIn, putOf } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { regctl } from "../support/images/regctl.ts";
import { type ForwardProxy, startForwardProxy } from "../support/servers/forward-proxy.ts";
import type { Registry } from "../support/servers/registry.ts";
import { treeOfTar } from "../support/tar/tar-tree.ts";
import { differences, type Tree } from "../support/tar/trees.ts";
import { featureDockerfile } from "./features.ts";

/** Every kind that can build, with how it does; and gVisor where it is only wanted. */
const ways: readonly (readonly [ContainerKind, "auto" | "gvisor", string])[] = [
  ["full", "auto", "with this container's privileges"],
  ["full", "gvisor", "in a gVisor sandbox"],
  ["fuse-only", "auto", "in a user namespace"],
  ["fuse-only-released", "auto", "in a user namespace"],
  ["unprivileged-on-fuse-only", "auto", "in a user namespace"],
  ["operator-profile", "auto", "in a user namespace"],
  ["unprivileged", "auto", "in a gVisor sandbox"],
  ["guardian", "auto", "with this container's privileges"],
  ["guardian-unprivileged", "auto", "in a gVisor sandbox"],
];

const resources = new AsyncDisposableStack();
let hub: Registry;
let proxy: ForwardProxy;
let folder: PrivateFolder;
/** The layers that a privileged container makes: what all others are held against. */
let expected: readonly Tree[];

before(async () => {
  hub = resources.use(await startDockerHub());
  // The way to Debian's packages, as this machine finds it.
  const { address } = await lookup("deb.debian.org");
  proxy = resources.use(await startForwardProxy({ "deb.debian.org:80": `${address}:80` }));
  folder = resources.use(await createPrivateFolder("test-matrix"));
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder.path, "key")]);
  await using container = await start("full");
  expected = await buildFeatures(container, "auto");
});
after(() => resources.disposeAsync());

function start(kind: ContainerKind): Promise<Container> {
  return startContainer(kind, { ports: [portOf(hub.url), portOf(proxy.url)] });
}

const portOf = (url: string) => Number(new URL(url).port);

/** Gives the container an input `app` with the features' Dockerfile. */
async function writeFeatures(container: Container): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), featureDockerfile);
  await writeFile(join(app, "file"), "content\n");
  await writeFile(join(app, "key"), await readFile(join(folder.path, "key")), { mode: 0o600 });
  await container.own(container.build);
}

const params = () => ({
  registry_mirrors: [hub.url],
  build_args: { http_proxy: proxy.url },
  secrets: { word: { text: "secret" } },
  ssh: { default: "app/key" },
});

const sourceOf = (name: string, sandbox: string) => ({
  repository: `${hub.host}/${name}`,
  insecure: true,
  sandbox,
});

/** Puts them into the registry, and reads the layers that are new there. */
async function buildFeatures(container: Container, sandbox: "auto" | "gvisor"): Promise<readonly Tree[]> {
  await writeFeatures(container);
  const name = `features-${crypto.randomUUID()}`;
  const put = await putIn(container, sourceOf(name, sandbox), { ...params(), tags: ["latest"] });
  assert.equal(put.exitCode, 0, put.stderr);
  const reference = `${hub.host}/${name}`;
  const manifest = JSON.parse(
    await regctl(hub.host, ["manifest", "get", "--format", "raw-body", `${reference}:latest`]),
  );
  const layers: { readonly digest: string }[] = manifest.layers;
  const stored = layers.slice(1).map(async ({ digest }) => {
    const file = join(
      hub.folder,
      "docker/registry/v2/blobs/sha256",
      digest.slice(7, 9),
      digest.slice(7),
      "data",
    );
    return treeOfTar(gunzipSync(await readFile(file)));
  });
  return Promise.all(stored);
}

for (const [kind, sandbox, way] of ways) {
  const where = `in a container of the kind ${kind}${sandbox === "auto" ? "" : `, with sandbox: ${sandbox}`}`;

  test(`${where} a put, a get and a task do their work`, async () => {
    await using container = await start(kind);
    const app = join(container.build, "put/app");
    await mkdir(app, { recursive: true });
    await writeFile(
      join(app, "Dockerfile"),
      "FROM busybox\nRUN id -u > /user && chown 3000000000:7 /user\nRUN date +%N > /made\n",
    );
    // Concourse makes a task's caches and outputs.
    for (const name of ["cache", "image"]) await mkdir(join(container.build, "put", name));
    await container.own(container.build);
    const source = sourceOf(`app-${crypto.randomUUID()}`, sandbox);
    const put = await putIn(container, source, { registry_mirrors: [hub.url] });
    assert.equal(put.exitCode, 0, put.stderr);
    assert.match(put.stderr, new RegExp(`building with a BuildKit of its own, ${way} \\(`));
    const { version } = JSON.parse(put.stdout);
    const request = { source, version, params: { unpack_rootfs: true } };
    const got = await container.exec(["/opt/resource/in", "/tmp/build/get"], {
      input: JSON.stringify(request),
    });
    assert.equal(got.exitCode, 0, got.stderr);
    const owner = await container.exec(["stat", "-c", "%u:%g", "/tmp/build/get/rootfs/user"]);
    assert.equal(owner.stdout, "3000000000:7\n");
    const env = { CONTEXT: "app", UNPACK_ROOTFS: "true", REGISTRY_MIRRORS: hub.url, SANDBOX: sandbox };
    const made: string[] = [];
    for (const cached of [0, 2]) {
      const task = await container.exec(["build"], { cwd: "/tmp/build/put", env });
      assert.equal(task.exitCode, 0, task.stderr);
      assert.match(task.stderr, new RegExp(`, ${cached} of 2 cached`));
      made.push((await container.exec(["cat", "/tmp/build/put/image/rootfs/made"])).stdout);
    }
    assert.equal(made[0], made[1]);
    assert.deepEqual(await readdir(container.scratch), []);
    assert.deepEqual(await container.processes(), []);
  });

  test(`${where} the layers are those of a privileged one`, async () => {
    await using container = await start(kind);
    const found = await buildFeatures(container, sandbox);
    assert.equal(found.length, expected.length);
    const except = { except: ["mtime"] } as const;
    const different = found.flatMap((tree, index) =>
      differences(tree, expected[index] ?? new Map(), except).map((line) => `layer ${index + 1}: ${line}`),
    );
    assert.deepEqual(different, []);
  });

  test(`${where} an abort in a RUN ends all of it within seconds`, async () => {
    await using container = await start(kind);
    const app = join(container.build, "put/app");
    await mkdir(app, { recursive: true });
    await writeFile(join(app, "Dockerfile"), "FROM busybox\nRUN echo running; sleep 600\n");
    await container.own(container.build);
    const { child } = await container.start(
      ...putOf(sourceOf("aborted", sandbox), { registry_mirrors: [hub.url] }),
    );
    let aborted = 0;
    child.stderr.on("data", (bytes: Buffer) => {
      if (aborted > 0 || !/\] running/.test(bytes.toString())) return;
      aborted = performance.now();
      child.kill("SIGTERM");
    });
    const ended = await child;
    assert.ok(aborted > 0, ended.stderr);
    assert.ok(performance.now() - aborted < 8000, `${performance.now() - aborted} ms`);
    assert.notEqual(ended.exitCode, 0);
    assert.deepEqual(await readdir(container.scratch), []);
    assert.deepEqual(await container.processes(), []);
  });
}
