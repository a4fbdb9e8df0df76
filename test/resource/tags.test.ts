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

test("what is no tag is refused before anything is built", async () => {
  await using registry = await startRegistry();
  const source = { repository: `${registry.host}/app`, insecure: true };
  const wrong = await smallPut({ source, params: { tags: ["feature/one"] } });
  assertFailedCleanly(wrong, /params\.tags: "feature\/one" is no tag; expected up to 128 letters, digits/);
  const empty = await smallPut({ source, params: { tags_file: "info/tags" }, files: { "info/tags": "\n" } });
  assertFailedCleanly(empty, /tags_file: "info\/tags" holds no tag/);
  const missing = await smallPut({ source, params: { tags_file: "info/tags" } });
  assertFailedCleanly(missing, /tags_file: artifact "info" is not among the put's inputs/);
  const directory = await smallPut({ source: { directory: "/nowhere" }, params: { version: "1.0.0" } });
  assertFailedCleanly(directory, /tags need a registry: name source\.repository/);
  assert.doesNotMatch(registry.log(), /PUT|POST/);
});
