import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
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
import { buildAnnotations, encodeBuildIndex } from "../../src/store/build-index.ts";
import {
  type MadeLayer,
  nativePlatform,
  writeDocument,
  writeImageOf,
  writeIndex,
  writeLayer,
  writeLayout,
} from "../support/images/image-writer.ts";
import { type BaseOptions, pushBaseImage } from "../support/images/pushed-base.ts";
import { plainVersion, putRecord } from "../support/images/stored-image.ts";
import { makeSite, type Site, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../support/servers/otlp-receiver.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry] = await untilTestsEnd(startRegistry());

const access = { registries: { [registry.host]: { insecure: true } } };
const forms = [{}, { output_oci: true }, { unpack_rootfs: true, image_tar: false }, { unpack_rootfs: true }];
const isOther = /holds an archive of digest sha256:.*, the image's config says sha256:/;

/** Pushes a base image to the test's registry. */
const pushBase = (site: Site, name: string, options: BaseOptions = {}): Promise<string> =>
  pushBaseImage(registry.host, join(site.folder, name), options);

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

interface ProvenPut extends BaseOptions {
  readonly store?: Readonly<Record<string, unknown>>;
  readonly params: Readonly<Record<string, unknown>>;
  readonly sandbox?: string;
  /** Otherwise only in the last of the forms. */
  readonly isGotInAllForms?: boolean;
}

test("a put whose daemon made or unpacked all layers names them in its version, and gets of that deliver the same", async () => {
  const rows: readonly ProvenPut[] = [
    // With the four that the Dockerfile adds these are the most that an image can have.
    { params: {}, layerCount: 123, isGotInAllForms: true },
    { params: {}, sandbox: "gvisor" },
    { params: { compression: { type: "zstd", force: true } } },
    { params: { compression: { type: "gzip", force: true } }, compression: "none" },
    {
      store: { repository: `${registry.host}/proven`, insecure: true },
      params: {},
      isGotInAllForms: true,
    },
    {
      store: { repository: `${registry.host}/targets`, insecure: true },
      params: { additional_targets: ["shell"], reproducible: true },
    },
  ];
  await Promise.all(
    rows.map(async ({ store, params, sandbox = "auto", isGotInAllForms = false, ...ofBase }) => {
      await using site = await makeSite("", store);
      const base = await pushBase(site, `base-${crypto.randomUUID()}`, ofBase);
      await writeFile(
        join(site.inputs, "app/Dockerfile"),
        // The second COPY and the RUN true make layers without anything new.
        `FROM ${base} AS shell\nCOPY busybox /bin/sh\nCOPY busybox /bin/sh\nFROM shell\nRUN true\nRUN echo made > /three\n`,
      );
      const put = await site.put(params, { ...access, sandbox, versions: "put" });
      assert.notEqual(layersOf(put), undefined, put.output);
      const { put: _, ...compared }: VersionFields = versionOf(put).version;
      for (const form of isGotInAllForms ? forms : forms.slice(-1)) {
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
  await write(`FROM ${base}\nCOPY busybox /bin/sh\nRUN echo made > /three\nRUN echo made > /four\n`);
  const continued = await site.put({}, { ...versions, ...cache });
  assert.match(continued.output, /1 step run/);
  assert.notEqual(layersOf(continued), undefined, "a RUN unpacks the layers from the cache");
  await site.get(continued);
  const plain = await pushBase(site, `plain-${crypto.randomUUID()}`, { compression: "none" });
  await write(`FROM ${plain}\nCOPY busybox /bin/sh\nRUN true\n`);
  const uncompressed = await site.put({}, versions);
  assert.equal(layersOf(uncompressed), undefined, "a blob that is its own diff ID proves nothing");
  await site.get(uncompressed);
  await write(`FROM ${base}\nCOPY busybox /bin/sh\nRUN echo made > /three\n`);
  await using daemon = await startBuildkitd({ config: `[registry."${registry.host}"]\n  http = true\n` });
  const elsewhere = await site.put({}, { ...versions, buildkit: { address: daemon.address } });
  assert.equal(layersOf(elsewhere), undefined, "only the step's own daemon is believed");
  await site.get(elsewhere);
});

test("a base whose layer isn't what its config says fails a put that unpacks it", async () => {
  await using site = await makeSite("");
  const base = await pushBase(site, `lying-${crypto.randomUUID()}`, { isLying: true });
  const app = join(site.inputs, "app/Dockerfile");
  await writeFile(app, `FROM ${base}\nCOPY busybox /bin/sh\nRUN true\n`);
  assertFailedCleanly(
    await site.put({}, access),
    /layer sha256:\S+ of a base image holds an archive of digest sha256:\S+, the image's config says sha256:\S+: the base is damaged; rebuild it, or name another in FROM/,
  );
  // One that only passes the layer on stores it, and no get delivers it.
  await writeFile(app, `FROM ${base}\n`);
  const put = await site.put({}, { ...access, versions: "put" });
  const stdin = { source: site.source, version: versionOf(put).version };
  assertFailedCleanly(await runResource("in", { args: [join(site.folder, "got")], stdin }), isOther);
});

test("a base whose gzip has something behind it fails a put that unpacks it, and is delivered in no form", async () => {
  const junk = Buffer.from("garbage");
  const [oneMember, twoMembers] = [junk, Buffer.concat([gzipSync(""), junk])];
  const says =
    "layer sha256:\\S+ (of a base image )?can't be decompressed: something else follows its last gzip member";
  await using site = await makeSite("");
  const write = (lines: string) => writeFile(join(site.inputs, "app/Dockerfile"), lines);
  for (const behind of [oneMember, twoMembers]) {
    const base = await pushBase(site, `behind-${crypto.randomUUID()}`, { behind });
    await write(`FROM ${base}\nCOPY busybox /bin/sh\nRUN true\n`);
    assertFailedCleanly(
      await site.put({}, access),
      new RegExp(`${says}: the base is damaged; rebuild it, or name another in FROM`),
    );
    // No layer of this image is one of the base's.
    await write(
      `FROM ${base} AS tools\nCOPY busybox /bin/sh\nRUN true\nFROM scratch\nCOPY --from=tools /last /\n`,
    );
    await site.get(await site.put({}, { ...access, versions: "put" }), { unpack_rootfs: true });
    // A put that only copies the layer doesn't look into it.
    await write(`FROM ${base}\n`);
    const { version } = versionOf(await site.put({}, access));
    for (const params of [{ output_oci: true }, { unpack_rootfs: true, image_tar: false }]) {
      const stdin = { source: site.source, version, params };
      assertFailedCleanly(
        await runResource("in", { args: [join(site.folder, "got")], stdin }),
        new RegExp(`${says}\\. .* if that doesn't help, rebuild its base`),
      );
    }
  }
});

test("a base whose gzip has several members, or zeros behind them, is proven by the put that unpacks it", async () => {
  await using site = await makeSite("");
  for (const behind of [gzipSync(""), Buffer.alloc(70_000), Buffer.concat([gzipSync(""), Buffer.alloc(4)])]) {
    const base = await pushBase(site, `members-${crypto.randomUUID()}`, { behind });
    await writeFile(join(site.inputs, "app/Dockerfile"), `FROM ${base}\nCOPY busybox /bin/sh\nRUN true\n`);
    const put = await site.put({}, { ...access, versions: "put" });
    assert.notEqual(layersOf(put), undefined, put.output);
    await site.get(put, { unpack_rootfs: true });
  }
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
  /** Gets it as an image and as a root filesystem, by this version's `put`. Each has to fail with a given message. */
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
  const tree = await readTree(layoutBlobs(folder), descriptor, AbortSignal.any([]));
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

test("a put of several platforms and targets says in the build index that it has proven the layers, and no other index gains by that", async () => {
  const architectures = [nativePlatform.architecture, "s390x"];
  await using site = await makeSite("");
  const base = await pushBase(site, `platforms-${crypto.randomUUID()}`, { architectures });
  await writeFile(
    join(site.inputs, "app/Dockerfile"),
    `${shell.replace("FROM scratch", "FROM --platform=$BUILDPLATFORM scratch")}ARG TARGETARCH
RUN echo $TARGETARCH > /made
FROM ${base} AS shared
COPY --from=shell /made /made
FROM shared AS other
COPY Dockerfile /other
FROM shared
COPY busybox /last
`,
  );
  const builds = join(site.folder, "builds");
  const platforms = architectures.map((architecture) => `linux/${architecture}`);
  const stored: { folder: string; get: () => Promise<{ run: Run }> }[] = [];
  const compression = { type: "zstd", force: true };
  for (const [more, forged] of [
    [{}, undefined],
    [{ reproducible: true, compression, provenance: "max" }, digestOf(Buffer.from("other layers"))],
  ] as const) {
    const known = new Set(await readdir(builds).catch(() => []));
    const params = { platforms, additional_targets: ["shared", "other"], ...more };
    const { version } = versionOf(await site.put(params, { ...access, versions: "image" }));
    const name = (await readdir(builds)).find((found) => found.startsWith("build-") && !known.has(found));
    const folder = join(builds, name ?? "none");
    const get = async () => {
      await using receiver = await startOtlpReceiver();
      const source = { ...site.source, tracing: { endpoint: receiver.endpoint } };
      const to = join(site.folder, `got-${crypto.randomUUID()}`);
      const stdin = { source, version, params: { unpack_rootfs: true, output_oci: true } };
      const run = await runResource("in", { args: [to], stdin });
      return { run, to, proven: [...new Set(provenOf(receiver))] };
    };
    const believed = await get();
    assert.deepEqual(believed.proven, [true], believed.run.output);
    const file = join(folder, "index.json");
    const index = JSON.parse(await readFile(file, "utf8"));
    const annotations = { ...index.annotations, [buildAnnotations.layers]: forged };
    await writeFile(file, JSON.stringify({ ...index, annotations }));
    const compared = await get();
    assert.deepEqual(compared.proven, [false], compared.run.output);
    for (const target of ["", "shared", "other"])
      assert.equal(
        await everythingIn(join(compared.to, target)),
        await everythingIn(join(believed.to, target)),
        target,
      );
    await writeFile(file, JSON.stringify(index));
    stored.push({ folder, get });
  }
  // Another good build under the name of the first, with its own proof.
  const [first, second] = stored;
  assert.ok(first !== undefined && second !== undefined);
  await execa("rm", ["-r", first.folder]);
  await rename(second.folder, first.folder);
  const replaced = await first.get();
  assertFailedCleanly(replaced.run, /holds the image sha256:\S+ It was replaced; run the put again/);
});
