import assert from "node:assert/strict";
import { lookup } from "node:dns/promises";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { execa } from "execa";
import type { Sandbox } from "../../src/builder/engine/sandbox.ts";
import { createPrivateFolder, type PrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { filesIn, putIn, putOf } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { regctl } from "../support/images/regctl.ts";
import { type ForwardProxy, startForwardProxy } from "../support/servers/forward-proxy.ts";
import type { Registry } from "../support/servers/registry.ts";
import { treeOfTar } from "../support/tar/tar-tree.ts";
import { differences, type Tree } from "../support/tar/trees.ts";
import { featureDockerfile, listedDockerfile } from "./features.ts";

/** A container, and how BuildKit runs in it. */
export interface Way {
  readonly kind: ContainerKind;
  readonly sandbox: Sandbox;
  /** As the log says it, after `a BuildKit of its own`. */
  readonly runs: string;
}

/** What the tests of all ways share. */
interface Site extends AsyncDisposable {
  readonly hub: Registry;
  /** The way to Debian's packages, as this machine finds it. */
  readonly proxy: ForwardProxy;
  readonly folder: PrivateFolder;
}

async function openSite(): Promise<Site> {
  await using resources = new AsyncDisposableStack();
  const hub = resources.use(await startDockerHub());
  const { address } = await lookup("deb.debian.org");
  const proxy = resources.use(await startForwardProxy({ "deb.debian.org:80": `${address}:80` }));
  const folder = resources.use(await createPrivateFolder("test-ways"));
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder.path, "key")]);
  const owned = resources.move();
  return { hub, proxy, folder, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Tests that all of the resource works in these containers, and that the layers are those of a privileged one. */
export function testWays(ways: readonly Way[]): void {
  let site: Site;
  let expected: readonly Tree[];
  before(async () => {
    site = await openSite();
    await using container = await start(site, "full");
    await buildListed(site, container);
    expected = await buildFeatures(site, container, "auto");
  });
  after(() => site[Symbol.asyncDispose]());

  for (const { kind, sandbox, runs } of ways)
    describe(`in a container of the kind ${kind}${sandbox === "auto" ? "" : `, with sandbox: ${sandbox}`}`, () => {
      let container: Container;
      before(async () => {
        container = await start(site, kind);
      });
      after(() => container[Symbol.asyncDispose]());

      test("a put, a get and a task do their work", async () => {
        await writeApp(
          container,
          "FROM busybox\nRUN id -u > /user && chown 3000000000:7 /user\nRUN date +%N > /made\n",
        );
        const source = sourceOf(site, `app-${crypto.randomUUID()}`, sandbox);
        const put = await putIn(container, source, { registry_mirrors: [site.hub.url] });
        assert.equal(put.exitCode, 0, put.stderr);
        assert.match(put.stderr, new RegExp(`building with a BuildKit of its own, ${runs} \\(`));
        const { version } = JSON.parse(put.stdout);
        const got = await container.exec(["/opt/resource/in", "/tmp/build/get"], {
          input: JSON.stringify({ source, version, params: { unpack_rootfs: true } }),
        });
        assert.equal(got.exitCode, 0, got.stderr);
        const owner = await container.exec(["stat", "-c", "%u:%g", "/tmp/build/get/rootfs/user"]);
        assert.equal(owner.stdout, "3000000000:7\n");
        const env = {
          CONTEXT: "app",
          UNPACK_ROOTFS: "true",
          REGISTRY_MIRRORS: site.hub.url,
          SANDBOX: sandbox,
        };
        const made: string[] = [];
        for (const cached of [0, 2]) {
          const task = await container.exec(["build"], { cwd: "/tmp/build/put", env });
          assert.equal(task.exitCode, 0, task.stderr);
          assert.match(task.stderr, new RegExp(`, ${cached} of 2 cached`));
          made.push((await container.exec(["cat", "/tmp/build/put/image/rootfs/made"])).stdout);
        }
        assert.equal(made[0], made[1]);
        await assertNothingLeft(container);
      });

      // The layers of a privileged container are what the others are held against.
      if (kind !== "full" || sandbox !== "auto")
        test("the layers are those of a privileged one", async () => {
          const found = await buildFeatures(site, container, sandbox);
          assert.equal(found.length, expected.length);
          const except = { except: ["mtime"] } as const;
          const different = found.flatMap((tree, index) =>
            differences(tree, expected[index] ?? new Map(), except).map(
              (line) => `layer ${index + 1}: ${line}`,
            ),
          );
          assert.deepEqual(different, []);
        });

      test("an abort in a RUN ends all of it within seconds", async () => {
        await writeApp(container, "FROM busybox\nRUN echo running; sleep 600\n");
        const earlier = await filesIn(container);
        const { child } = await container.start(
          ...putOf(sourceOf(site, "aborted", sandbox), { registry_mirrors: [site.hub.url] }),
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
        await assertNothingLeft(container);
        const left = [...(await filesIn(container)).difference(earlier)];
        // Outside gVisor, runc keeps its notes there.
        assert.deepEqual(
          left.filter((path) => !/^\/run\/(runc|mount)/.test(path)),
          [],
        );
      });
    });
}

async function assertNothingLeft(container: Container): Promise<void> {
  assert.deepEqual(await readdir(container.scratch), []);
  assert.deepEqual(await container.processes(), []);
}

function start({ hub, proxy }: Site, kind: ContainerKind): Promise<Container> {
  const ports = [hub.url, proxy.url].map((url) => Number(new URL(url).port));
  return startContainer(kind, { ports });
}

function sourceOf({ hub }: Site, name: string, sandbox: Sandbox) {
  return { repository: `${hub.host}/${name}`, insecure: true, sandbox };
}

/** Gives the container an input `app` with these files, and the folders that Concourse makes for a task. */
async function writeApp(
  container: Container,
  dockerfile: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const inputs = join(container.build, "put");
  for (const folder of ["app", "cache", "image"]) {
    await rm(join(inputs, folder), { recursive: true, force: true });
    await mkdir(join(inputs, folder), { recursive: true });
  }
  for (const [name, text] of Object.entries({ ...files, Dockerfile: dockerfile }))
    await writeFile(join(inputs, "app", name), text, { mode: 0o600 });
  await container.own(container.build);
}

/** Builds the base of the features' Dockerfile, once for all containers. */
async function buildListed(site: Site, container: Container): Promise<void> {
  await writeApp(container, listedDockerfile);
  const params = { registry_mirrors: [site.hub.url], build_args: { http_proxy: site.proxy.url } };
  const put = await putIn(container, sourceOf(site, "listed", "auto"), { ...params, tags: ["latest"] });
  assert.equal(put.exitCode, 0, put.stderr);
}

/** Builds the features' Dockerfile, puts it into the registry, and reads the layers that are new there. */
async function buildFeatures(site: Site, container: Container, sandbox: Sandbox): Promise<readonly Tree[]> {
  const { hub, proxy, folder } = site;
  const base = `${hub.host}/listed:latest`;
  await writeApp(container, featureDockerfile(base), {
    file: "content\n",
    key: await readFile(join(folder.path, "key"), "utf8"),
  });
  const name = `features-${crypto.randomUUID()}`;
  const put = await putIn(container, sourceOf(site, name, sandbox), {
    build_args: { http_proxy: proxy.url },
    secrets: { word: { text: "secret" } },
    ssh: { default: "app/key" },
    tags: ["latest"],
  });
  assert.equal(put.exitCode, 0, put.stderr);
  const layersOf = async (reference: string): Promise<readonly string[]> => {
    const manifest = await regctl(hub.host, ["manifest", "get", "--format", "raw-body", reference]);
    return JSON.parse(manifest).layers.map(({ digest }: { digest: string }) => digest);
  };
  const layers = await layersOf(`${hub.host}/${name}:latest`);
  const ofBase = await layersOf(base);
  const blobs = join(hub.folder, "docker/registry/v2/blobs/sha256");
  return Promise.all(
    layers.slice(ofBase.length).map(async (digest) => {
      const file = join(blobs, digest.slice(7, 9), digest.slice(7), "data");
      return treeOfTar(gunzipSync(await readFile(file)));
    }),
  );
}
