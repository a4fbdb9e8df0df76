import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, rename, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { surfaceProblem } from "../../src/host/disk-errors.ts";
import { messageOf } from "../../src/host/errors.ts";
import { lockFolder } from "../../src/host/folder-lock.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type BuildVersion, buildName } from "../../src/image/build-version.ts";
import { readTree, versionOf } from "../../src/image/image-tree.ts";
import { blobPath } from "../../src/image/layout.ts";
import { openVerified } from "../../src/image/verify.ts";
import { openDirectoryStore } from "../../src/store/directory/directory-store.ts";
import { offerStoredBlobs } from "../../src/store/directory/offer-stored-blobs.ts";
import { oldBuilds } from "../../src/store/keep.ts";
import { writeLayout } from "../support/images/image-writer.ts";
import { plainVersion, putRecord } from "../support/images/stored-image.ts";

const { signal } = new AbortController();

/** Stores an image of one file as a put does; answers its version. */
async function storeBuild(
  store: ReturnType<typeof openDirectoryStore>,
  content: string,
): Promise<BuildVersion> {
  await store.prepare(signal);
  await using stage = await store.stage(signal);
  const exporter = await stage.exporter("");
  assert.ok(exporter.kind === "layout");
  const { descriptor } = await writeLayout(exporter.folder, { layers: [[{ name: "file", content }]] });
  const tree = await readTree(stage.blobs, descriptor, signal);
  const version = plainVersion(versionOf(tree));
  await stage.commit({ version, targets: [{ name: "", descriptor, tree }], put: putRecord }, []);
  return version;
}

const day = 24 * 60 * 60 * 1000;

test("the newest builds stay, and those of the last days", () => {
  const now = 100 * day;
  const stored = [1, 2, 3, 40].map((age) => ({ name: `build-${age}`, at: now - age * day }));
  const removed = (keep: Parameters<typeof oldBuilds>[1]) =>
    oldBuilds(stored, keep, now).map(({ name }) => name);
  assert.deepEqual(removed({}), []);
  assert.deepEqual(removed({ builds: 2 }), ["build-3", "build-40"]);
  assert.deepEqual(removed({ days: 2.5 }), ["build-3", "build-40"]);
  assert.deepEqual(removed({ days: 0.5 }), ["build-2", "build-3", "build-40"]);
  assert.deepEqual(removed({ builds: 3, days: 2.5 }), ["build-40"]);
  assert.deepEqual(removed({ builds: 1, days: 10 }), ["build-40"]);
});

test("a new build removes old ones, and a get that reads one of them comes to its end", async () => {
  await using folder = await createPrivateFolder("test-store");
  const directory = join(folder.path, "builds");
  const store = openDirectoryStore({ directory, keep: { builds: 2 } });
  const first = await storeBuild(store, "first");
  await utimes(join(directory, buildName(first)), 1, 1);
  const second = await storeBuild(store, "second");
  await utimes(join(directory, buildName(second)), 2, 2);
  {
    await using read = await store.fetch(first, signal);
    const third = await storeBuild(store, "third");
    const names = (await readdir(directory)).filter((name) => !name.startsWith("."));
    assert.deepEqual(names.toSorted(), [buildName(second), buildName(third)].toSorted());
    await assert.rejects(
      store.fetch(first, signal),
      /is no longer in directory .* \(it holds 2 other builds\)/,
    );
    const { images } = await readTree(read.blobs, read.targets[0].descriptor, signal);
    for (const layer of images[0].manifest.layers)
      await buffer(await openVerified(read.blobs, layer, signal));
  }
  await store.prepare(signal);
  assert.deepEqual(
    (await readdir(directory)).filter((name) => name.startsWith(".")),
    [],
  );
});

test("a damaged build is refused with the blob's name, and stored again by the next put", async () => {
  await using folder = await createPrivateFolder("test-store");
  const directory = join(folder.path, "builds");
  const store = openDirectoryStore({ directory });
  const version = await storeBuild(store, "same");
  const config = join(directory, buildName(version), blobPath(version.digest));
  for (const damage of [
    () => truncate(config, 10),
    () => writeFile(config, "{}"),
    () => truncate(config, 0),
  ]) {
    await damage();
    await assert.rejects(store.fetch(version, signal), (error: Error) =>
      error.message.includes(version.digest),
    );
    assert.deepEqual(await storeBuild(store, "same"), version);
    await (await store.fetch(version, signal))[Symbol.asyncDispose]();
  }
});

test("an export starts with the small blobs of the last build, and without a damaged one", async () => {
  await using folder = await createPrivateFolder("test-store");
  const directory = join(folder.path, "builds");
  const store = openDirectoryStore({ directory });
  const older = await storeBuild(store, "older");
  await utimes(join(directory, buildName(older)), 1, 1);
  const last = await storeBuild(store, "last");
  const build = join(directory, buildName(last));
  const { digest } = last;
  await truncate(join(build, blobPath(digest)), 10);
  const stored = await readdir(join(build, "blobs/sha256"));
  const large = createHash("sha256")
    .update(Buffer.alloc(65 * 1024 * 1024))
    .digest("hex");
  await writeFile(join(build, "blobs/sha256", large), "");
  await truncate(join(build, "blobs/sha256", large), 65 * 1024 * 1024);
  const exported = join(folder.path, "export");
  await mkdir(exported);
  await offerStoredBlobs(directory, exported, signal);
  const expected = stored.filter((name) => !digest.endsWith(name));
  assert.deepEqual((await readdir(join(exported, "blobs/sha256"))).toSorted(), expected.toSorted());
  for (const name of expected) {
    const files = [build, exported].map((layout) => stat(join(layout, "blobs/sha256", name)));
    const [one, other] = await Promise.all(files);
    assert.equal(one?.ino, other?.ino);
  }
});

test("what dead puts have left is removed by the next one, what living ones use is not", async () => {
  await using folder = await createPrivateFolder("test-store");
  const directory = join(folder.path, "builds");
  const store = openDirectoryStore({ directory });
  await store.prepare(signal);
  const dead = await mkdtemp(join(directory, ".staging-"));
  await using living = await store.stage(signal);
  const exporter = await living.exporter("");
  await storeBuild(store, "next");
  assert.ok(!existsSync(dead));
  assert.ok(exporter.kind === "layout" && existsSync(exporter.folder));
});

/** Does something with the rights of a user who owns nothing. */
async function asNobody<T>(act: () => Promise<T>): Promise<T> {
  assert.ok(process.seteuid !== undefined);
  process.seteuid(65534);
  try {
    return await act();
  } finally {
    process.seteuid(0);
  }
}

/** A store in a folder, with one build, in which every user may put. */
async function sharedStore(folder: string, content: string) {
  await chmod(folder, 0o755);
  const directory = join(folder, "builds");
  const store = openDirectoryStore({ directory });
  const version = await storeBuild(store, content);
  await chmod(directory, 0o777);
  return { directory, store, version };
}

test("what another user's put has left stays until a put of that user, and other puts go on", async () => {
  await using folder = await createPrivateFolder("test-store");
  const { directory, store, version } = await sharedStore(folder.path, "first");
  const staging = await mkdtemp(join(directory, ".staging-"));
  const replaced = join(directory, ".replaced-0a");
  await rename(join(directory, buildName(version)), replaced);
  await asNobody(() => storeBuild(store, "next"));
  assert.ok(existsSync(staging));
  const files = await readdir(join(replaced, "blobs/sha256"));
  assert.ok(files.includes(version.digest.slice("sha256:".length)));
  {
    await using lock = await lockFolder(replaced, "exclusive");
    assert.ok(lock !== undefined);
  }
  await store.prepare(signal);
  assert.ok(!existsSync(staging) && !existsSync(replaced));
});

test("a build that this user may not read is told alike by its get and by a put of the same version", async () => {
  await using folder = await createPrivateFolder("test-store");
  const { directory, store, version } = await sharedStore(folder.path, "same");
  const build = join(directory, buildName(version));
  await chmod(build, 0o700);
  await asNobody(async () => {
    await store.prepare(signal);
    await using stage = await store.stage(signal);
    for (const reading of [store.fetch(version, signal), stage.earlier(version)]) {
      const thrown = await reading.then(
        () => undefined,
        (error: unknown) => error,
      );
      const told = messageOf(await surfaceProblem(thrown));
      assert.ok(
        told.startsWith(`${build}: this step's user may not use it. Run the step as root, or `),
        told,
      );
    }
  });
});
