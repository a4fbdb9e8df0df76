import assert from "node:assert/strict";
import { chmod, mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { BuildVersion } from "../../src/image/build-version.ts";
import { blobPath } from "../../src/image/layout.ts";
import type { TargetName } from "../../src/image/target-name.ts";
import { encodeBuildIndex } from "../../src/store/build-index.ts";
import { type ImageRecipe, nativePlatform } from "../support/images/image-writer.ts";
import {
  plainVersion,
  putRecord,
  storeImage,
  storeInDirectory,
  type Targets,
} from "../support/images/stored-image.ts";
import { metadataNames, metadataOf } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { startRegistry } from "../support/servers/registry.ts";

const layer = (name: string) => [{ name, content: `${name}\n` }];
const simple: ImageRecipe = { layers: [layer("file")], config: { Env: ["A=1"], Labels: { team: "web" } } };
const other = { os: "linux", architecture: nativePlatform.architecture === "arm64" ? "amd64" : "arm64" };

/** A folder with a directory store that has one build, and a way to get it. */
async function stored(targets: Targets = { "": [simple] }, delivery?: BuildVersion["delivery"]) {
  const folder = await createPrivateFolder("test-delivery");
  const source = { directory: join(folder.path, "builds") };
  const build = await storeInDirectory(source.directory, targets, delivery);
  const { version } = build;
  const to = join(folder.path, "get");
  const get = (params: Readonly<Record<string, unknown>> = {}, under: readonly string[] = []): Promise<Run> =>
    runResource("in", { args: [to], stdin: { source, version, params }, env: { NO_COLOR: "1" }, under });
  return { ...build, to, get, path: folder.path, [Symbol.asyncDispose]: folder[Symbol.asyncDispose] };
}

const text = (...path: readonly string[]) => readFile(join(...path), "utf8");
const names = async (folder: string) => (await readdir(folder)).toSorted();

test("a get delivers files of exactly these names and contents", async () => {
  const config = {
    Env: ["PATH=/bin", "EMPTY="],
    User: "1000:1000",
    Entrypoint: ["/bin/app"],
    Cmd: ["--help"],
    WorkingDir: "/srv",
    Labels: { b: "2", a: "ü", "org.example": "" },
  };
  await using build = await stored({ "": [{ ...simple, config }] });
  versionOf(await build.get({ unpack_rootfs: true }));
  assert.deepEqual(await names(build.to), ["digest", "image.tar", "labels.json", "metadata.json", "rootfs"]);
  assert.equal(await text(build.to, "digest"), build.version.digest);
  assert.equal(await text(build.to, "labels.json"), '{"a":"ü","b":"2","org.example":""}');
  assert.equal(
    await text(build.to, "metadata.json"),
    '{"env":["PATH=/bin","EMPTY="],"user":"1000:1000","entrypoint":["/bin/app"],"cmd":["--help"],"workdir":"/srv"}',
  );
  assert.equal(await text(build.to, "rootfs/file"), "file\n");
});

test("a get delivers what the put asked for, unless its own params say otherwise", async () => {
  await using build = await stored({ "": [simple] }, { unpackRootfs: true, outputOci: true });
  versionOf(await build.get());
  const common = ["digest", "labels.json", "metadata.json"];
  assert.deepEqual(await names(build.to), [...common, "image", "rootfs"].toSorted());
  versionOf(await build.get({ unpack_rootfs: false, output_oci: false }));
  assert.deepEqual(await names(build.to), [...common, "image.tar"].toSorted());
  versionOf(await build.get({ image_tar: false }));
  assert.deepEqual(await names(build.to), [...common, "rootfs"].toSorted());
});

test("an image that says nothing of how to run it has empty lists, not null", async () => {
  for (const config of [{ Env: null, Labels: null, Entrypoint: null }, null]) {
    await using build = await stored({ "": [{ layers: [], config: config ?? { Env: undefined } }] });
    versionOf(await build.get({ unpack_rootfs: true }));
    assert.equal(
      await text(build.to, "metadata.json"),
      '{"env":[],"user":"","entrypoint":[],"cmd":[],"workdir":""}',
    );
    assert.equal(await text(build.to, "labels.json"), "{}");
    assert.deepEqual(await names(join(build.to, "rootfs")), []);
  }
});

test("an image of Docker's media types is delivered like one of the OCI's", async () => {
  await using build = await stored({ "": [{ ...simple, types: "docker" }] });
  versionOf(await build.get({ unpack_rootfs: true }));
  assert.equal(await text(build.to, "rootfs/file"), "file\n");
  await execa("skopeo", ["inspect", `oci-archive:${join(build.to, "image.tar")}`]);
});

test("what is delivered can be read by any user, whatever umask the step is run with", async () => {
  await using build = await stored({ "": [simple], test: [simple] });
  for (const blob of await readdir(join(build.folder, "blobs/sha256")))
    await chmod(join(build.folder, "blobs/sha256", blob), 0o400);
  const umask = ["sh", "-c", 'umask 077; exec "$0" "$@"'];
  for (const output_oci of [false, true]) {
    versionOf(await build.get({ unpack_rootfs: true, output_oci }, umask));
    const find = ["-mindepth", "1", "-not", "-perm", "-a+r"];
    const { stdout } = await execa("find", [build.to, ...find, "-o", "-type", "d", "-not", "-perm", "-a+x"]);
    assert.equal(stdout, "");
  }
});

test("a second get into the same folder replaces what the first delivered, and nothing else", async () => {
  await using build = await stored({ "": [simple], test: [simple] });
  versionOf(await build.get({ unpack_rootfs: true }));
  for (const folder of ["", "test"]) {
    await writeFile(join(build.to, folder, "mine"), "mine");
    await writeFile(join(build.to, folder, "rootfs/stale"), "stale");
  }
  versionOf(await build.get({ unpack_rootfs: true, output_oci: true }));
  versionOf(await build.get({ unpack_rootfs: true, output_oci: true }));
  const expected = ["digest", "image", "labels.json", "metadata.json", "mine", "rootfs"];
  assert.deepEqual(await names(join(build.to, "test")), expected);
  assert.deepEqual(await names(build.to), [...expected, "test"]);
  assert.deepEqual(await names(join(build.to, "rootfs")), ["file"]);
});

test("files of a folder's owner stay where no delivery was before", async () => {
  await using build = await stored();
  await mkdir(join(build.to, "rootfs"), { recursive: true });
  await writeFile(join(build.to, "rootfs/mine"), "mine");
  versionOf(await build.get());
  assert.equal(await text(build.to, "rootfs/mine"), "mine");
});

test("a get that fails leaves a folder as it was", async () => {
  await using build = await stored({ "": [simple], test: [{ layers: [layer("other")] }] });
  versionOf(await build.get());
  const before = await execa("find", [build.to, "-printf", "%p %i %s\\n"]);
  const damaged = build.layouts[1]?.images[0]?.layers[0]?.descriptor;
  assert.ok(damaged);
  await writeFile(join(build.folder, blobPath(damaged.digest)), "damaged");
  assertFailedCleanly(await build.get({ unpack_rootfs: true }), /is not what its descriptor says/);
  assert.equal((await execa("find", [build.to, "-printf", "%p %i %s\\n"])).stdout, before.stdout);
});

test("each additional target has a folder with all of its own files, and no tag if it has none of its own", async () => {
  await using folder = await createPrivateFolder("test-delivery");
  await using registry = await startRegistry();
  const source = { repository: `${registry.host}/app`, insecure: true };
  const dockerfile = "FROM scratch AS test\nCOPY Dockerfile /test\nFROM scratch\nCOPY Dockerfile /main\n";
  const put = await smallPut({ source, dockerfile, params: { additional_targets: ["test"] } });
  const { version } = versionOf(put);
  const run = await runResource("in", {
    args: [folder.path],
    stdin: { source, version, params: { unpack_rootfs: true } },
  });
  versionOf(run);
  const common = [
    "build.json",
    "digest",
    "image.tar",
    "labels.json",
    "metadata.json",
    "reference",
    "repository",
    "rootfs",
  ];
  assert.deepEqual(await names(folder.path), [...common, "tag", "test"]);
  assert.deepEqual(await names(join(folder.path, "test")), common);
  assert.deepEqual(await names(join(folder.path, "test/rootfs")), ["test"]);
  const tag = await text(folder.path, "tag");
  assert.match(tag, /^build-[0-9a-f]{64}$/);
  const tagsOf = async (...path: string[]) => {
    const { stdout } = await execa("tar", ["-xOf", join(folder.path, ...path), "manifest.json"]);
    return (JSON.parse(stdout) as { RepoTags: string[] }[])[0]?.RepoTags;
  };
  assert.deepEqual(await tagsOf("image.tar"), [`${source.repository}:${tag}`]);
  assert.deepEqual(await tagsOf("test/image.tar"), []);
});

test("names of additional targets that would take a delivered file's place are refused before anything is built", async () => {
  await using folder = await createPrivateFolder("test-delivery");
  const source = { directory: join(folder.path, "builds") };
  const rows = [
    [["rootfs"], /params\.additional_targets: the folder of "rootfs" would take the place .* own "rootfs"/],
    [["image.tar"], /the folder of "image\.tar" would take the place/],
    [["../up"], /params\.additional_targets\.0: expected the name of a stage/],
  ] as const;
  for (const [additional_targets, message] of rows) {
    const run = await smallPut({ source, params: { additional_targets } });
    assertFailedCleanly(run, message);
    assert.doesNotMatch(run.stderr, /building/);
  }
  for (const name of ["image", "cache"]) {
    const run = await runResource("build", {
      cwd: folder.path,
      env: { CONTEXT: "app", ADDITIONAL_TARGETS: name, NO_COLOR: "1" },
    });
    assertFailedCleanly(run, new RegExp(`ADDITIONAL_TARGETS: the folder of "${name}" would take the place`));
  }
});

test("a stored build whose targets' names lead elsewhere is refused", async () => {
  await using build = await stored({ "": [simple] });
  const descriptor = build.layouts[0]?.descriptor;
  assert.ok(descriptor);
  for (const [name, message] of [
    ["../../escaped", /"\.\.\/\.\.\/escaped" can't be the name of a target/],
    ["/escaped", /can't be the name of a target/],
    ["..", /can't be the name of a target/],
    [".partial-x", /can't be the name of a target/],
    ["", /"" can't be the name of a target/],
    ["rootfs", /holds the additional targets other, rootfs, and the version names no additional targets/],
    ["other", /holds the additional targets other, other, and the version names no additional targets/],
  ] as const) {
    const index = encodeBuildIndex({
      version: plainVersion(build.version.digest),
      targets: [
        { name: "", descriptor },
        { name: "other" as TargetName, descriptor, tags: [] },
        { name: name as TargetName, descriptor, tags: [] },
      ],
      put: putRecord,
    });
    await writeFile(join(build.folder, "index.json"), index);
    assertFailedCleanly(await build.get(), message);
    assert.deepEqual(await names(build.to), []);
    assert.deepEqual(await names(build.path), ["builds", "get"]);
  }
});

test("a platform of several is delivered as image.tar, and one that isn't there is answered with those that are", async () => {
  const both = [
    simple,
    { ...simple, platform: { ...other, variant: other.architecture === "arm64" ? "v8" : "v2" } },
  ];
  await using build = await stored({ "": both });
  const wanted = `linux/${other.architecture}${other.architecture === "amd64" ? "/v3" : ""}`;
  versionOf(await build.get({ platform: wanted }));
  const { stdout } = await execa("skopeo", ["inspect", `docker-archive:${join(build.to, "image.tar")}`]);
  assert.equal((JSON.parse(stdout) as { Architecture: string }).Architecture, other.architecture);
  assert.equal(await text(build.to, "digest"), build.layouts[0]?.images[1]?.config.digest);
  const missing = await build.get({ platform: "linux/s390x" });
  assertFailedCleanly(missing, /no build for platform linux\/s390x; it has linux\/\w+, linux\/\w+/);
  assertFailedCleanly(
    await build.get({ platform: "arm64/linux/x/y" }),
    /params\.platform: expected os\/architecture/,
  );
});

test("a get repeats all that the put told, for it takes the put's place in Concourse", async () => {
  await using folder = await createPrivateFolder("test-delivery");
  await using registry = await startRegistry();
  const source = { repository: `${registry.host}/app`, insecure: true };
  const run = await smallPut({ source });
  const put = versionOf(run);
  const { version } = put;
  const get = async (params: object) =>
    versionOf(await runResource("in", { args: [folder.path], stdin: { source, version, params } })).metadata;
  const tag = `build-${version.digest.slice("sha256:".length)}`;
  const place = [
    { name: "repository", value: source.repository },
    { name: "tag", value: tag },
  ];
  assert.deepEqual(
    put.metadata.map(({ name }) => name),
    ["image", ...metadataNames],
  );
  assert.equal(metadataOf(run, "concourse_build"), "main/images/build #12");
  const before = registry.log().match(/"GET [^"]*"|"HEAD [^"]*"/g)?.length ?? 0;
  assert.deepEqual(await get({ skip_download: true }), [...place, ...put.metadata]);
  const asked =
    registry
      .log()
      .match(/"GET [^"]*"|"HEAD [^"]*"/g)
      ?.slice(before) ?? [];
  assert.deepEqual(
    asked.filter((line) => line.includes("/manifests/") || line.includes("/blobs/")).length,
    1,
  );
  assert.deepEqual(await names(folder.path), ["build.json", "digest", "reference", "repository", "tag"]);
  const image = await text(folder.path, "reference");
  assert.equal(image, metadataOf(run, "image"));
  assert.deepEqual(await get({}), [...place, ...put.metadata]);
  assert.equal(await text(folder.path, "repository"), source.repository);
  assert.equal(await text(folder.path, "reference"), image);
});

test("a get with skip_download reads nothing of a build but its index", async () => {
  await using build = await stored({ "": [simple], test: [{ ...simple, layers: [layer("test")] }] });
  await rm(join(build.folder, "blobs/sha256"), { recursive: true });
  await mkdir(join(build.folder, "blobs/sha256"));
  const { metadata } = versionOf(await build.get({ skip_download: true }));
  assert.deepEqual(metadata, putRecord.metadata);
  assert.deepEqual(await names(build.to), ["digest", "test"]);
  assert.equal(await text(build.to, "digest"), build.version.digest);
  assert.equal(await text(build.to, "test/digest"), build.version.targets?.slice("test=".length));
});

test("what is done to a delivered layout is not done to the store", async () => {
  await using build = await stored();
  versionOf(await build.get({ output_oci: true }));
  const blobs = join(build.to, "image/blobs/sha256");
  for (const name of await readdir(blobs)) {
    await using file = await open(join(blobs, name), "r+");
    await file.write("damaged", 0);
    await chmod(join(blobs, name), 0o600);
    assert.notEqual((await stat(join(build.folder, "blobs/sha256", name))).mode & 0o777, 0o600);
  }
  versionOf(await build.get({ output_oci: true }));
});

test("a registry is asked once for each layer, for the image and its root filesystem together", async () => {
  await using folder = await createPrivateFolder("test-delivery");
  await using registry = await startRegistry();
  const { version, image } = await storeImage(`${registry.host}/app`);
  const source = { repository: `${registry.host}/app`, insecure: true };
  const asked = () =>
    registry.log().match(new RegExp(`GET /v2/app/blobs/${image.layers[0]?.descriptor.digest}`, "g"));
  for (const [times, output_oci] of [false, true].entries()) {
    const params = { unpack_rootfs: true, output_oci };
    const to = join(folder.path, String(output_oci));
    versionOf(await runResource("in", { args: [to], stdin: { source, version, params } }));
    assert.equal((await stat(join(to, "rootfs/data-1"))).size, 100_000);
    assert.equal(asked()?.length, times + 1);
  }
});
