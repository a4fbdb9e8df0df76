import assert from "node:assert/strict";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { busyboxLayer, pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startRegistry } from "../support/servers/registry.ts";

interface Put {
  readonly folder: string;
  readonly dockerfile: string;
  readonly source?: Readonly<Record<string, unknown>>;
  readonly params: Readonly<Record<string, unknown>>;
  readonly get?: Readonly<Record<string, unknown>>;
}

/** Puts from `put/app` and gets the result; answers the folder of the get. */
async function putAndGet({ folder, dockerfile, source: more = {}, params, get = {} }: Put): Promise<string> {
  const app = join(folder, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), dockerfile);
  await copyFile("/bin/busybox", join(app, "busybox"));
  const source = { directory: join(folder, "builds"), ...more };
  const put = await runResource("out", {
    args: [join(folder, "put")],
    stdin: { source, params: { context: "app", ...params } },
  });
  const { version } = versionOf(put);
  const to = join(folder, `get-${crypto.randomUUID()}`);
  versionOf(await runResource("in", { args: [to], stdin: { source, version, params: get } }));
  return to;
}

const result = (folder: string) => readFile(join(folder, "rootfs/result"), "utf8");

test("a named context is an image layout of the inputs, for a BuildKit elsewhere too", async () => {
  await using folder = await createPrivateFolder("test-contexts");
  await using daemon = await startBuildkitd();
  await mkdir(join(folder.path, "put/base"), { recursive: true });
  await writeLayout(join(folder.path, "put/base"), {
    layers: [[...(await busyboxLayer()), { name: "mark", content: "a layout\n" }]],
  });
  const delivered = await putAndGet({
    folder: folder.path,
    source: { buildkit: { address: daemon.address } },
    dockerfile: "FROM base\nRUN cp /mark /result\n",
    params: { contexts: { base: "base" } },
    get: { unpack_rootfs: true },
  });
  assert.equal(await result(delivered), "a layout\n");
});

test("a named context is an image of a registry, which pull asks for anew", async () => {
  await using folder = await createPrivateFolder("test-contexts");
  await using registry = await startRegistry();
  await using daemon = await startBuildkitd();
  const reference = `${registry.host}/base:1`;
  const publish = async (mark: string) => {
    const layers = [[...(await busyboxLayer()), { name: "mark", content: mark }]];
    const layout = await writeLayout(join(folder.path, `base-${mark}`), { layers });
    await pushLayout(layout.folder, reference);
  };
  const built = async (params: Readonly<Record<string, unknown>>) =>
    result(
      await putAndGet({
        folder: folder.path,
        source: { buildkit: { address: daemon.address } },
        dockerfile: "FROM base\nRUN cp /mark /result\n",
        params: { contexts: { base: `docker-image://${reference}` }, ...params },
        get: { unpack_rootfs: true },
      }),
    );
  await publish("one");
  assert.equal(await built({}), "one");
  await publish("two");
  assert.equal(await built({ pull: true }), "two");
});

test("an SBOM is made by the generator that is named", async () => {
  await using folder = await createPrivateFolder("test-contexts");
  await using registry = await startRegistry();
  // The contract of generators: BuildKit, docs/attestations/sbom-protocol.md.
  const statement = {
    _type: "https://in-toto.io/Statement/v0.1",
    predicateType: "https://spdx.dev/Document",
    predicate: { spdxVersion: "SPDX-2.3", name: "found by the generator" },
  };
  const script = `#!/bin/sh\necho '${JSON.stringify(statement)}' > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"\n`;
  const layers = [[...(await busyboxLayer()), { name: "bin/generate", mode: 0o755, content: script }]];
  const config = { Entrypoint: ["/bin/generate"], Env: ["PATH=/bin"] };
  const layout = await writeLayout(join(folder.path, "generator"), { layers, config });
  const reference = `${registry.host}/generator:1`;
  await pushLayout(layout.folder, reference);
  const delivered = await putAndGet({
    folder: folder.path,
    dockerfile: "FROM scratch\nCOPY Dockerfile /\n",
    params: { sbom: { generator: reference } },
    get: { output_oci: true },
  });
  const { stdout } = await execa("grep", ["-rl", "found by the generator", join(delivered, "image/blobs")]);
  assert.notEqual(stdout, "");
});

test("a named context takes the place of what FROM and COPY --from name, however both spell it", async () => {
  await using site = await makeSite("");
  const layers = [[...(await busyboxLayer()), { name: "mark", content: "a layout\n" }]];
  await writeLayout(join(site.inputs, "base"), { layers });
  const spellings = [
    ["alpine:latest", "alpine:latest"],
    ["alpine", "docker.io/library/alpine:latest"],
    ["docker.io/library/alpine:3", "alpine:3"],
    ["registry.example/team/a:latest", "registry.example/team/a"],
  ] as const;
  for (const [name, from] of spellings) {
    const text = `FROM ${from} AS one\nFROM ${from}\nCOPY --from=${from} /mark /mark2\nRUN cat /mark /mark2 > /result\n`;
    await writeFile(join(site.inputs, "app/Dockerfile"), text);
    const put = await site.put({ contexts: { [name]: "base" } });
    assert.equal(await result(await site.get(put)), "a layout\na layout\n", name);
  }
});

test("names of contexts that FROM can't have, or that are one name, are refused with the reason", async () => {
  await using site = await makeSite("");
  await mkdir(join(site.inputs, "base"));
  const capitals = await site.put({ contexts: { Base: "base" } });
  assertFailedCleanly(capitals, /contexts\.Base: .* write "Base" in lower case: "base"/);
  const same = await site.put({ contexts: { base: "base", "docker.io/library/base:latest": "base" } });
  assertFailedCleanly(
    same,
    /contexts: "base" and "docker\.io\/library\/base:latest" are one name: remove one/,
  );
});

test("a path in an empty folder of the context is told to be perhaps a git submodule's", async () => {
  await using site = await makeSite("COPY lib/vendor/x.c /\n");
  await mkdir(join(site.inputs, "app/lib/vendor"), { recursive: true });
  const missing = /lib\/vendor\/x\.c isn't in the context "app": .*can't lead out of it/;
  const told = await site.put({});
  assertFailedCleanly(told, missing);
  assert.match(told.stderr, /; its folder lib\/vendor is empty: if that is a git submodule, have the get/);
  // With another file in the folder, and with a file in its place.
  await writeFile(join(site.inputs, "app/lib/vendor/y.c"), "");
  const beside = await site.put({});
  await rm(join(site.inputs, "app/lib/vendor"), { recursive: true });
  await writeFile(join(site.inputs, "app/lib/vendor"), "");
  for (const other of [beside, await site.put({})]) {
    assert.notEqual(other.status, 0, other.output);
    assert.doesNotMatch(other.stderr, /submodule/);
  }
});
