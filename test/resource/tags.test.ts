import assert from "node:assert/strict";
import { test } from "node:test";
import { regctl } from "../support/images/regctl.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { startMemoryRegistry, startRegistry } from "../support/servers/registry.ts";

/** All tags of a repository but those that keep builds, sorted, with the digest each points at. */
async function tagsOf(host: string, repository: string): Promise<Map<string, string>> {
  const listed = (await regctl(host, ["tag", "ls", repository])).trim().split("\n").toSorted();
  const names = listed.filter((name) => !name.startsWith("build-"));
  const digests = names.map(async (name) => {
    const digest = await regctl(host, ["manifest", "head", `${repository}:${name}`]);
    return [name, digest.trim()] as const;
  });
  return new Map(await Promise.all(digests));
}

test("a version moves the aliases it is the newest of, in two kinds of registry", async () => {
  for (const start of [startRegistry, startMemoryRegistry]) {
    await using registry = await start();
    const repository = `${registry.host}/team/app`;
    const put = async (version: string, more: Readonly<Record<string, unknown>> = {}) => {
      const run = await smallPut({
        source: { repository, insecure: true },
        params: { version, bump_aliases: true, labels: { version }, ...more },
      });
      const { metadata } = versionOf(run);
      return new Map(metadata.map(({ name, value }) => [name, value]));
    };
    const first = await put("1.2.3");
    assert.equal(first.get("tags"), "1.2.3 1.2 1 latest");
    const second = await put("2.0.0", { tag_prefix: "", tags: ["stable"] });
    const third = await put("1.2.4");
    assert.equal(third.get("tags"), "1.2.4 1.2 1");
    await put("3.0.0-rc.1");
    const tags = await tagsOf(registry.host, repository);
    assert.deepEqual(
      new Map([...tags].filter(([name]) => name !== "3.0.0-rc.1")),
      new Map([
        ["1", third.get("manifest_digest") ?? ""],
        ["1.2", third.get("manifest_digest") ?? ""],
        ["1.2.3", first.get("manifest_digest") ?? ""],
        ["1.2.4", third.get("manifest_digest") ?? ""],
        ["2", second.get("manifest_digest") ?? ""],
        ["2.0", second.get("manifest_digest") ?? ""],
        ["2.0.0", second.get("manifest_digest") ?? ""],
        ["latest", second.get("manifest_digest") ?? ""],
        ["stable", second.get("manifest_digest") ?? ""],
      ]),
    );
    assert.ok(tags.has("3.0.0-rc.1"));
  }
});

test("a file gives tags, and the source a variant", async () => {
  await using registry = await startRegistry();
  const repository = `${registry.host}/team/app`;
  const run = await smallPut({
    source: { repository, insecure: true, variant: "slim" },
    params: { tags_file: "info/tags", tag_prefix: "v", version: "1.0.0", bump_aliases: true },
    files: { "info/tags": "7 8\n  9\n" },
  });
  versionOf(run);
  const tags = await tagsOf(registry.host, repository);
  assert.deepEqual([...tags.keys()], ["slim", "v1-slim", "v1.0-slim", "v1.0.0-slim", "v7", "v8", "v9"]);
});

test("several files give tags with prefixes of their own, and one gives the version", async () => {
  await using registry = await startRegistry();
  const repository = `${registry.host}/team/app`;
  const run = await smallPut({
    source: { repository, insecure: true },
    params: {
      tags_file: [{ file: "info/branch", prefix: "branch-" }, { file: "info/tags" }],
      tag_prefix: "v",
      version_file: "version/number",
      bump_aliases: true,
    },
    files: { "info/branch": "main\n", "info/tags": "7 8", "version/number": "1.2.3\n" },
  });
  versionOf(run);
  const tags = await tagsOf(registry.host, repository);
  assert.deepEqual(
    [...tags.keys()].toSorted(),
    ["branch-main", "latest", "v1", "v1.2", "v1.2.3", "v7", "v8"].toSorted(),
  );
  const source = { repository, insecure: true };
  const both = await smallPut({
    source,
    params: { version: "1.0.0", version_file: "version/number" },
    files: { "version/number": "1.2.3" },
  });
  assertFailedCleanly(both, /version and version_file are both given: remove one/);
  const empty = await smallPut({
    source,
    params: { version_file: "version/number" },
    files: { "version/number": "\n" },
  });
  assertFailedCleanly(empty, /version_file: "version\/number" contains no version/);
});

test("tags that the resource writes for itself are refused by whatever param they come, and their likes are not", async () => {
  await using registry = await startRegistry();
  const repository = `${registry.host}/app`;
  const source = { repository, insecure: true, cache: true };
  const build = `build-${"0a".repeat(32)}`;
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ tags: [build] }, /params\.tags: "build-(0a){32}" has the form of the tags that builds are kept under/],
    [{ tags: ["buildcache"] }, /params\.tags: "buildcache" is a tag of the layer cache/],
    [{ tags_file: "info/tags" }, /params\.tags_file: "buildcache" is a tag of the layer cache/],
    [
      { tags_file: [{ file: "info/cache", prefix: "build" }] },
      /params\.tags_file: "buildcache" is a tag of the layer cache/,
    ],
    [
      { tags: ["buildcache-test"], additional_targets: ["test"] },
      /params\.tags: "buildcache-test" is a tag of the layer cache/,
    ],
    [
      { additional_targets: { test: { tags: ["buildcache"] } } },
      /params\.additional_targets\.test\.tags: "buildcache" is a tag of the layer cache/,
    ],
    [{ tags: ["buildcache.mounts"] }, /"buildcache\.mounts" is a tag of the layer cache/],
  ];
  const files = { "info/tags": "buildcache", "info/cache": "cache" };
  for (const [params, message] of refused) {
    assertFailedCleanly(await smallPut({ source, params: { ...params }, files }), message);
  }
  assert.doesNotMatch(registry.log(), /PUT|POST/);
  const likes = ["build-42", "buildcache-docs", `build-${"0A".repeat(32)}`];
  versionOf(await smallPut({ source, params: { tags: likes } }));
  const elsewhere = { ...source, cache: { ref: `${registry.host}/cache:buildcache` } };
  versionOf(await smallPut({ source: elsewhere, params: { tags: ["buildcache"] } }));
});

test("what isn't a tag is refused before anything is built", async () => {
  await using registry = await startRegistry();
  const source = { repository: `${registry.host}/app`, insecure: true };
  const wrong = await smallPut({ source, params: { tags: ["feature/one"] } });
  assertFailedCleanly(wrong, /params\.tags: "feature\/one" is not a tag; expected up to 128 letters, digits/);
  const empty = await smallPut({ source, params: { tags_file: "info/tags" }, files: { "info/tags": "\n" } });
  assertFailedCleanly(empty, /tags_file: "info\/tags" contains no tag/);
  const missing = await smallPut({ source, params: { tags_file: "info/tags" } });
  assertFailedCleanly(missing, /tags_file: artifact "info" is not among the put's inputs/);
  const directory = await smallPut({ source: { directory: "/nowhere" }, params: { version: "1.0.0" } });
  assertFailedCleanly(directory, /tags need a registry: name source\.repository/);
  assert.doesNotMatch(registry.log(), /PUT|POST/);
});
