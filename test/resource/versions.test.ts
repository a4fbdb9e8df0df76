import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { digestOf } from "../../src/image/digest.ts";
import { createConcourseResource } from "../support/runs/concourse.ts";
import { metadataOf } from "../support/runs/put-and-get.ts";
import {
  assertFailedCleanly,
  type Run,
  responseOf,
  runResource,
  versionOf,
} from "../support/runs/resource.ts";
import { startRegistry } from "../support/servers/registry.ts";

type Fields = Readonly<Record<string, unknown>>;

const dockerfile = `FROM scratch AS test
ARG t=1
COPY files/$t /t
FROM scratch
ARG n=1
COPY files/$n /n
`;

/** A put's folder whose Dockerfile copies the file that its build args name, and both kinds of store. */
async function makeSite() {
  await using made = new AsyncDisposableStack();
  const { path: folder } = made.use(await createPrivateFolder("test-versions"));
  const registry = made.use(await startRegistry());
  const files = join(folder, "inputs/app/files");
  await mkdir(files, { recursive: true });
  await writeFile(join(folder, "inputs/app/Dockerfile"), dockerfile);
  for (const n of ["1", "2"]) await writeFile(join(files, n), n);
  const stores: readonly Fields[] = [
    { directory: join(folder, "builds") },
    { repository: `${registry.host}/app`, insecure: true },
  ];
  const put = (source: Fields, args: Fields, params: Fields = {}): Promise<Run> =>
    runResource("out", {
      args: [join(folder, "inputs")],
      stdin: { source, params: { context: "app", reproducible: true, build_args: args, ...params } },
      env: { NO_COLOR: "1" },
    });
  const owned = made.move();
  return { folder, registry, stores, put, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const rootfs = { unpack_rootfs: true };
const knownVersion = /this version was stored before: Concourse keeps it at its place .* set versions: put/;

test("by default an equal image is an equal version: a revert is not the newest, and the put says so", async () => {
  await using site = await makeSite();
  for (const [index, source] of site.stores.entries()) {
    const concourse = createConcourseResource(source, join(site.folder, `image-${index}`));
    for (const n of ["1", "2", "1"]) {
      const run = await site.put(source, { n });
      const got = await concourse.took(run, rootfs);
      assert.equal(await readFile(join(got, "rootfs/n"), "utf8"), n);
      const isRevert = n === "1" && concourse.history.length === 2;
      assert.equal(knownVersion.test(run.stderr), isRevert, run.stderr);
    }
    assert.deepEqual(
      concourse.history.map((version) => Object.keys(version)),
      [["digest"], ["digest"]],
    );
    assert.equal(await readFile(join(await concourse.newest(rootfs), "rootfs/n"), "utf8"), "2");
  }
});

test("with versions: put each put is the newest version, a revert too", async () => {
  await using site = await makeSite();
  for (const [index, store] of site.stores.entries()) {
    const source = { ...store, versions: "put" };
    const concourse = createConcourseResource(source, join(site.folder, `put-${index}`));
    for (const n of ["1", "2", "1"]) {
      const run = await site.put(source, { n });
      await concourse.took(run, rootfs);
      assert.doesNotMatch(run.stderr, knownVersion);
      assert.equal(await readFile(join(await concourse.newest(rootfs), "rootfs/n"), "utf8"), n);
    }
    const [first, , third] = concourse.history;
    assert.equal(concourse.history.length, 3);
    assert.equal(first?.digest, third?.digest);
  }
});

test("each put's build index has bytes of its own, under one tag for an equal version", async () => {
  await using site = await makeSite();
  const [, source] = site.stores;
  assert.ok(source);
  const digests = new Set<string>();
  for (const n of ["1", "1"]) {
    const { version } = versionOf(await site.put(source, { n }));
    const tag = version.digest.replace("sha256:", "build-");
    digests.add((await execa("crane", ["digest", "--insecure", `${site.registry.host}/app:${tag}`])).stdout);
  }
  assert.equal(digests.size, 2);
});

test("puts that differ only in what they deliver are versions of their own", async () => {
  await using site = await makeSite();
  for (const [index, source] of site.stores.entries()) {
    const concourse = createConcourseResource(source, join(site.folder, `delivery-${index}`));
    const expected = [
      [{}, undefined, ["image.tar"]],
      [{ unpack_rootfs: true }, "rootfs", ["image.tar", "rootfs"]],
      [{ output_oci: true }, "oci", ["image"]],
      [{ unpack_rootfs: true, output_oci: true }, "oci,rootfs", ["image", "rootfs"]],
    ] as const;
    for (const [params, delivery, names] of expected) {
      const run = await site.put(source, {}, params);
      const got = await concourse.took(run);
      assert.deepEqual(
        (await readdir(got)).filter((name) => ["image.tar", "image", "rootfs"].includes(name)).toSorted(),
        [...names],
      );
      assert.equal((versionOf(run).version as { delivery?: string }).delivery, delivery);
    }
    assert.equal(concourse.history.length, 4);
  }
});

test("a changed additional target under an unchanged main one is a version of its own, and is delivered", async () => {
  await using site = await makeSite();
  for (const [index, source] of site.stores.entries()) {
    const concourse = createConcourseResource(source, join(site.folder, `targets-${index}`));
    for (const t of ["1", "2"]) {
      const run = await site.put(source, { t }, { additional_targets: ["test"] });
      const got = await concourse.took(run, rootfs);
      assert.equal(await readFile(join(got, "test/rootfs/t"), "utf8"), t);
      const { targets } = versionOf(run).version as { targets?: string };
      assert.equal(targets, `test=${await readFile(join(got, "test/digest"), "utf8")}`);
    }
    const [one, two] = concourse.history;
    assert.equal(one?.digest, two?.digest);
    assert.equal(concourse.history.length, 2);
    // Both are there, each with its own target.
    const first = join(site.folder, `first-${index}`);
    versionOf(await runResource("in", { args: [first], stdin: { source, version: one, params: rootfs } }));
    assert.equal(await readFile(join(first, "test/rootfs/t"), "utf8"), "1");
  }
});

const text = (folder: string, name: string) => readFile(join(folder, name), "utf8");
const configOf = async (tool: "crane" | "skopeo", reference: string) =>
  tool === "crane"
    ? (await execa("crane", ["config", "--insecure", reference], { stripFinalNewline: false })).stdout
    : (await execa("skopeo", ["inspect", "--tls-verify=false", "--config", "--raw", `docker://${reference}`]))
        .stdout;

test("an additional target has tags of its own, and its folder says how it is pulled", async () => {
  await using site = await makeSite();
  const [, source] = site.stores;
  assert.ok(source);
  const repository = `${site.registry.host}/app`;
  const put = (t: string, tags: readonly string[]) =>
    site.put(source, { t }, { tags: ["main"], additional_targets: { test: { tags } } });
  const run = await put("1", ["test-1", "test"]);
  assert.match(run.stderr, new RegExp(`^stored as ${repository}@sha256:[0-9a-f]{64}, tagged main$`, "m"));
  assert.match(
    run.stderr,
    new RegExp(`^target test: stored as ${repository}@sha256:[0-9a-f]{64}, tagged test-1, test$`, "m"),
  );
  const get = async (stored: Run, params: Fields = {}) => {
    const to = await createPrivateFolder("test-versions-get");
    versionOf(
      await runResource("in", {
        args: [to.path],
        stdin: { source, version: versionOf(stored).version, params },
      }),
    );
    return to;
  };
  {
    await using got = await get(run);
    assert.equal(await text(got.path, "test/tag"), "test-1");
    assert.equal(await text(got.path, "reference"), metadataOf(run, "image"));
    for (const folder of ["", "test"]) {
      const reference = await text(join(got.path, folder), "reference");
      const digest = await text(join(got.path, folder), "digest");
      for (const tool of ["crane", "skopeo"] as const)
        assert.equal(digestOf(Buffer.from(await configOf(tool, reference))), digest);
    }
  }
  // The author moves both tags to another image: no folder says of either that it leads to the first one.
  await put("2", ["test-1", "test"]);
  await using moved = await get(run);
  await assert.rejects(text(moved.path, "test/tag"), /ENOENT/);
});

test("a tag for two targets, or one that isn't the author's to give, is refused before anything is built", async () => {
  const source = { repository: "127.0.0.1:1/app" };
  const put = (params: Fields) => runResource("out", { args: ["/"], stdin: { source, params } });
  const name = `build-${"0".repeat(64)}`;
  for (const [params, message] of [
    [
      { tags: ["a"], additional_targets: { test: { tags: ["a"] } } },
      /additional_targets\.test\.tags: "a" is also a tag of the main target/,
    ],
    [
      { additional_targets: { one: { tags: ["a"] }, two: { tags: ["a"] } } },
      /additional_targets\.two\.tags: "a" is also a tag of target one/,
    ],
    [
      { additional_targets: { test: { tags: [name] } } },
      /has the form of the tags that builds are kept under/,
    ],
    [
      { additional_targets: { test: { tags: ["a b"] } } },
      /additional_targets\.test\.tags: "a b" is not a tag/,
    ],
  ] as const)
    assertFailedCleanly(await put(params), message);
});

test("check and in refuse what isn't a version of this resource, and say what one is", async () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const source = { directory: "/nonexistent/builds" };
  const refused: readonly (readonly [Fields, RegExp])[] = [
    [
      { ref: "main" },
      /version: there is no field "ref"\. Expected a version that a put of this resource returned: digest and/,
    ],
    [{ digest, ref: "main" }, /version: there is no field "ref"/],
    [{}, /version: digest is missing/],
    [{ digest: "sha256:1" }, /version: digest is "sha256:1"; expected sha256: and 64 hexadecimal digits/],
    [
      { digest, targets: "" },
      /version: targets is ""; expected name=sha256:… of each additional target, sorted by name/,
    ],
    [{ digest, targets: `b=${digest},a=${digest}` }, /version: targets is /],
    [{ digest, targets: `a=${digest},a=${digest}` }, /version: targets is /],
    [{ digest, targets: `../a=${digest}` }, /version: targets is /],
    [
      { digest, delivery: "rootfs,oci" },
      /version: delivery is "rootfs,oci"; expected rootfs or oci or oci,rootfs/,
    ],
    [{ digest, put: "a b" }, /version: put is "a b"; expected up to 200 letters/],
  ];
  await using folder = await createPrivateFolder("test-versions");
  for (const [version, message] of refused) {
    assertFailedCleanly(await runResource("check", { stdin: { source, version } }), message);
    assertFailedCleanly(
      await runResource("in", { args: [folder.path], stdin: { source, version } }),
      message,
    );
  }
  assert.deepEqual(await readdir(folder.path), []);
  for (const version of [
    { digest },
    {
      digest,
      targets: `a=${digest},b=${digest}`,
      delivery: "oci,rootfs",
      put: "4242-2026-01-02T03:04:05.678Z-1a2b",
    },
  ])
    assert.deepEqual(responseOf(await runResource("check", { stdin: { source, version } })), [version]);
  assert.deepEqual(responseOf(await runResource("check", { stdin: { source, version: null } })), []);
});

test("an additional target that the store replaced is refused by name, like the main one", async () => {
  await using site = await makeSite();
  const [source] = site.stores;
  assert.ok(source);
  const puts = [];
  for (const t of ["1", "2"])
    puts.push(versionOf(await site.put(source, { t }, { additional_targets: ["test"] })).version);
  const [one, two] = puts;
  const { buildName, parseVersionFields } = await import("../../src/image/build-version.ts");
  const folderOf = (version: Fields | undefined) => {
    const parsed = parseVersionFields(version ?? {});
    assert.ok(parsed);
    return join(site.folder, "builds", buildName(parsed));
  };
  await execa("rm", ["-r", folderOf(one)]);
  await execa("cp", ["-r", folderOf(two), folderOf(one)]);
  const to = join(site.folder, "get");
  const run = await runResource("in", { args: [to], stdin: { source, version: one } });
  assertFailedCleanly(
    run,
    /the build stored as version sha256:[0-9a-f]{64} holds the image sha256:[0-9a-f]{64}\. It was replaced/,
  );
  assert.deepEqual(await readdir(to), []);
});
