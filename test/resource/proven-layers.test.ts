import assert from "node:assert/strict";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";
import {
  type BuildVersion,
  buildName,
  formatBuildVersion,
  layersOfPut,
  putName,
  type VersionFields,
} from "../../src/image/build-version.ts";
import { type DiffId, type Digest, digestOf } from "../../src/image/digest.ts";
import { versionOf as contentOf, readTree } from "../../src/image/image-tree.ts";
import { layoutBlobs } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { layersDigest } from "../../src/image/proven-layers.ts";
import { encodeBuildIndex } from "../../src/store/build-index.ts";
import {
  type MadeLayer,
  nativePlatform,
  pushLayout,
  writeDocument,
  writeImageOf,
  writeIndex,
  writeLayer,
  writeLayout,
} from "../support/images/image-writer.ts";
import { plainVersion, putRecord } from "../support/images/stored-image.ts";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/servers/otlp-receiver.ts";
import { startRegistry } from "../support/servers/registry.ts";

const registry = await startRegistry();
after(() => registry[Symbol.asyncDispose]());

const access = { registries: { [registry.host]: { insecure: true } } };
const forms = [{}, { output_oci: true }, { unpack_rootfs: true, image_tar: false }, { unpack_rootfs: true }];
const isOther = /holds an archive of digest sha256:.*, the image's config says sha256:/;

/** Pushes a base of two layers. The second isn't what the config says if `isLying`. */
async function pushBase(site: Site, name: string, isLying = false): Promise<string> {
  const folder = join(site.folder, name);
  const { images } = await writeLayout(folder, { layers: [[{ name: "one", content: name }]] });
  const two = await writeLayer(folder, [{ name: "two", content: name }]);
  const diffId = isLying ? (digestOf(Buffer.from("another")) as DiffId) : two.diffId;
  const layers = [...(images[0]?.layers ?? []), { ...two, diffId }];
  const { manifest } = await writeImageOf(folder, layers);
  await writeIndex(folder, [manifest]);
  const reference = `${registry.host}/${name}:latest`;
  await pushLayout(folder, reference);
  return reference;
}

/** The digest of the layers that a put's version names, if it names one. */
function layersOf(put: Run): Digest | undefined {
  const { put: name = "" }: VersionFields = versionOf(put).version;
  return layersOfPut(name);
}

/** Every byte and attribute of an image and a root filesystem that a get delivered, as digests of archives. */
async function everythingIn(folder: string): Promise<string> {
  const archive = "tar -c --sort=name --xattrs --pax-option=delete=atime,delete=ctime";
  const script = `${archive} --mtime=@0 $(ls -d image image.tar 2>/dev/null) | sha256sum
[ ! -e rootfs ] || ${archive} rootfs/* | sha256sum`;
  return (await execa("sh", ["-c", script], { cwd: folder })).stdout;
}

test("a put whose daemon made or unpacked all layers names them in its version, and gets of that deliver the same", async () => {
  const rows = [
    { store: undefined, params: {} },
    { store: undefined, params: {}, sandbox: "gvisor" },
    { store: undefined, params: { compression: { type: "zstd", force: true } } },
    { store: { repository: `${registry.host}/proven`, insecure: true }, params: {} },
    {
      store: { repository: `${registry.host}/targets`, insecure: true },
      params: { additional_targets: ["shell"], reproducible: true },
    },
  ];
  await Promise.all(
    rows.map(async ({ store, params, sandbox = "auto" }) => {
      await using site = await makeSite("", store);
      const base = await pushBase(site, `base-${crypto.randomUUID()}`);
      await writeFile(
        join(site.inputs, "app/Dockerfile"),
        `FROM ${base} AS shell\nCOPY busybox /bin/sh\nFROM shell\nRUN echo made > /three\n`,
      );
      const put = await site.put(params, { ...access, sandbox, versions: "put" });
      assert.notEqual(layersOf(put), undefined, put.output);
      const { put: _, ...compared }: VersionFields = versionOf(put).version;
      for (const form of forms) {
        const got = await site.get(put, form);
        const to = join(site.folder, "compared");
        const stdin = { source: site.source, version: compared, params: form };
        versionOf(await runResource("in", { args: [to], stdin }));
        assert.equal(await everythingIn(got), await everythingIn(to));
        await execa("rm", ["-r", to]);
      }
    }),
  );
});

test("a put names no layers if its daemon has not looked into one of them, or runs elsewhere", async () => {
  await using site = await makeSite("");
  const base = await pushBase(site, `lazy-${crypto.randomUUID()}`);
  const versions = { ...access, versions: "put" };
  const write = (lines: string) => writeFile(join(site.inputs, "app/Dockerfile"), lines);
  await write(`FROM ${base}\nLABEL a=b\n`);
  const lazy = await site.put({}, versions);
  assert.equal(layersOf(lazy), undefined);
  await site.get(lazy);
  await write(`FROM ${base}\nCOPY busybox /bin/sh\nRUN echo made > /three\n`);
  const cache = { cache: { ref: `${registry.host}/cache:c` } };
  const first = await site.put({}, { ...versions, ...cache });
  assert.notEqual(layersOf(first), undefined);
  const cached = await site.put({}, { ...versions, ...cache });
  assert.match(cached.output, /0 steps run/);
  assert.equal(layersOf(cached), undefined, "layers from a cache are only copied");
  await site.get(cached);
  await using daemon = await startBuildkitd({ config: `[registry."${registry.host}"]\n  http = true\n` });
  const elsewhere = await site.put({}, { ...versions, buildkit: { address: daemon.address } });
  assert.equal(layersOf(elsewhere), undefined, "only the step's own daemon is believed");
  await site.get(elsewhere);
});

test("a base whose layer isn't what its config says fails a put that unpacks it", async () => {
  await using site = await makeSite("");
  const base = await pushBase(site, `lying-${crypto.randomUUID()}`, true);
  const app = join(site.inputs, "app/Dockerfile");
  await writeFile(app, `FROM ${base}\nCOPY busybox /bin/sh\nRUN true\n`);
  assertFailedCleanly(
    await site.put({}, access),
    /layer sha256:\S+ of a base image holds an archive of digest sha256:\S+, the image's config says sha256:\S+: the base is damaged; push it again, or name another in FROM/,
  );
  // One that only passes the layer on stores it, and no get delivers it.
  await writeFile(app, `FROM ${base}\n`);
  const put = await site.put({}, { ...access, versions: "put" });
  const stdin = { source: site.source, version: versionOf(put).version };
  assertFailedCleanly(await runResource("in", { args: [join(site.folder, "got")], stdin }), isOther);
});

/** Which of the layers that were unpacked were proven before, by the spans of a get or a task. */
function provenOf(receiver: OtlpReceiver): unknown[] {
  const unpacked = receiver.spans().filter(({ name }) => name === "unpack layer");
  return unpacked.map(({ attributes }) => attributes["layer.is_proven"]);
}

test("a get by a version that names the layers, and a task, compute no diff IDs of what the daemon has proven", async () => {
  await using site = await makeSite("RUN echo made > /made\n");
  const put = await site.put({}, { versions: "put" });
  const { version } = versionOf(put);
  for (const [given, isProven] of [
    [version, true],
    [{ digest: version.digest }, false],
  ] as const) {
    await using receiver = await startOtlpReceiver();
    const source = { ...site.source, tracing: { endpoint: receiver.endpoint } };
    const stdin = { source, version: given, params: { unpack_rootfs: true } };
    versionOf(await runResource("in", { args: [join(site.folder, `traced-${isProven}`)], stdin }));
    assert.deepEqual(provenOf(receiver), [isProven, isProven, isProven]);
  }
  for (const [dockerfile, expected] of [
    ["COPY busybox /made\n", [true]],
    // Nothing looks into the layer of an image that is an input.
    ["", [false]],
  ] as const) {
    await using receiver = await startOtlpReceiver();
    await writeLayout(join(site.inputs, "base"), { layers: [[{ name: "one", content: "one" }]] });
    const from = dockerfile === "" ? "ARG base\nFROM $base\n" : "FROM scratch\n";
    await writeFile(join(site.inputs, "app/Dockerfile"), from + dockerfile);
    const env = {
      CONTEXT: "app",
      UNPACK_ROOTFS: "true",
      TRACING: JSON.stringify({ endpoint: receiver.endpoint }),
      ...(dockerfile === "" && { IMAGE_ARG_base: "base" }),
    };
    const run = await runResource("build", { cwd: site.inputs, env });
    assert.equal(run.status, 0, run.output);
    assert.deepEqual(provenOf(receiver), expected);
  }
});

interface Stored {
  readonly version: BuildVersion;
  /** The digest of its layers. */
  readonly layers: Digest;
  /** Gets it as an image and as a root filesystem, by this version's `put`. Each has to fail with the message, if given. */
  get(put: string | undefined, refused?: RegExp): Promise<void>;
}

/**
 * Stores a build without building anything: an image for each platform, whose first layer isn't what its config says.
 * @param claims whether the build index says that the layers are proven
 */
async function storeLying(site: Site, platforms: number, claims: boolean): Promise<Stored> {
  const directory = join(site.folder, "builds");
  const folder = join(directory, "made");
  await mkdir(join(folder, "blobs/sha256"), { recursive: true });
  const diffId = digestOf(Buffer.from("another")) as DiffId;
  const lying: MadeLayer = { ...(await writeLayer(folder, [{ name: "a", content: "A\n" }])), diffId };
  const architectures = [nativePlatform.architecture, "s390x"].slice(0, platforms);
  const manifests = [];
  for (const architecture of architectures)
    manifests.push(
      (await writeImageOf(folder, [lying], { platform: { os: "linux", architecture } })).manifest,
    );
  const mediaType = mediaTypes.ociIndex;
  const [only] = manifests;
  const descriptor =
    only !== undefined && manifests.length === 1
      ? only
      : await writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, manifests });
  const tree = await readTree(await layoutBlobs(folder), descriptor, AbortSignal.any([]));
  const layers = layersDigest(tree.images);
  const version = plainVersion(contentOf(tree));
  const put = { ...putRecord, layers: claims ? layers : undefined };
  await writeIndex(folder, []);
  await writeFile(
    join(folder, "index.json"),
    encodeBuildIndex({ version, targets: [{ name: "", descriptor }], put }),
  );
  await rename(folder, join(directory, buildName(version)));
  return {
    version,
    layers,
    async get(name, refused) {
      for (const params of [{}, { unpack_rootfs: true, image_tar: false }]) {
        const to = join(site.folder, `got-${crypto.randomUUID()}`);
        const given = formatBuildVersion({ ...version, put: name });
        const stdin = { source: { directory }, version: given, params };
        const got = await runResource("in", { args: [to], stdin });
        if (refused === undefined) versionOf(got);
        else assertFailedCleanly(got, refused);
      }
    },
  };
}

test("layers are not compared with their diff IDs only where the version itself names them", async () => {
  await using site = await makeSite("");
  // Whoever can write to the store can write this into the build index.
  const single = await storeLying(site, 1, true);
  await single.get(undefined, isOther);
  await single.get("4242-2026-01-02T03:04:05.678Z-1a2b", isOther);
  await single.get(putName("1", digestOf(Buffer.from("other layers"))), isOther);
  await single.get(putName("1", single.layers));
});

test("of several platforms the version names all bytes, so the build index may say that layers are proven", async () => {
  await using site = await makeSite("");
  const unproven = await storeLying(site, 2, false);
  await unproven.get(undefined, isOther);
  await execa("rm", ["-r", join(site.folder, "builds")]);
  const proven = await storeLying(site, 2, true);
  assert.deepEqual(proven.version, unproven.version);
  await proven.get(undefined);
  await proven.get(putName("1", digestOf(Buffer.from("other layers"))), isOther);
});
