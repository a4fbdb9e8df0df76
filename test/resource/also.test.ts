import assert from "node:assert/strict";
import { test } from "node:test";
import { regctl } from "../support/images/regctl.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { startRegistry } from "../support/servers/registry.ts";

test("a put pushes to more repositories with the same tags, each with its own credentials, and keeps the build in its own", async () => {
  await using own = await startRegistry({ htpasswd: { one: "secret one" } });
  await using other = await startRegistry({ htpasswd: { two: "secret two" } });
  const source = {
    repository: `${own.host}/team/app`,
    insecure: true,
    username: "one",
    password: "secret one",
    registries: { [other.host]: { insecure: true, username: "two", password: "secret two" } },
  };
  const also = [`${other.host}/copy`, `${own.host}/team/second`];
  const put = await smallPut({
    source,
    dockerfile: "FROM scratch AS test\nCOPY Dockerfile /test\nFROM scratch\nCOPY Dockerfile /\n",
    params: {
      also,
      tags: ["one"],
      version: "1.2.3",
      bump_aliases: true,
      additional_targets: { test: { tags: ["tested"] } },
    },
  });
  const { metadata } = versionOf(put);
  const digest = metadata.find(({ name }) => name === "manifest_digest")?.value;
  const logins = {
    [own.host]: { username: "one", password: "secret one" },
    [other.host]: { username: "two", password: "secret two" },
  };
  for (const repository of [source.repository, ...also]) {
    const host = repository.split("/")[0] ?? "";
    const tags = (await regctl(host, ["tag", "ls", repository], logins[host])).trim().split("\n");
    const named = tags.filter((tag) => !tag.startsWith("build-"));
    assert.deepEqual(named.toSorted(), ["1", "1.2", "1.2.3", "latest", "one", "tested"]);
    assert.equal(tags.length - named.length, repository === source.repository ? 1 : 0);
    const head = await regctl(host, ["manifest", "head", `${repository}:1.2`], logins[host]);
    assert.equal(head.trim(), digest);
    assert.ok(put.stderr.includes(`${repository}@${digest}`), put.stderr);
  }
});

test("a further repository that can't be written is told before anything is built, and one without a registry is refused", async () => {
  await using own = await startRegistry();
  await using other = await startRegistry({ htpasswd: { two: "secret two" } });
  const source = {
    repository: `${own.host}/app`,
    insecure: true,
    registries: { [other.host]: { insecure: true } },
  };
  const locked = await smallPut({ source, params: { also: [`${other.host}/copy`] } });
  assertFailedCleanly(
    locked,
    /repository \S+\/copy: .* requires a user name and a password.*; check username and password for 127\.0\.0\.1:\d+ under "registries" in the source/,
  );
  assert.doesNotMatch(locked.stderr, /built in/);
  const dead = await smallPut({ source, params: { also: ["127.0.0.1:1/copy"] } });
  assertFailedCleanly(
    dead,
    /repository 127\.0\.0\.1:1\/copy: .*connection refused; check the host in params\.also, and that/,
  );
  const itself = await smallPut({ source, params: { also: [`${own.host}/app`] } });
  assertFailedCleanly(itself, /params\.also: \S+\/app is the source's own repository: remove it/);
  const tagged = await smallPut({ source, params: { also: [`${own.host}/other:one`] } });
  assertFailedCleanly(tagged, /params\.also: .* leave out the tag "one"/);
  const directory = await smallPut({ source: { directory: "/nowhere" }, params: { also: ["example/app"] } });
  assertFailedCleanly(directory, /also names repositories of registries: name source\.repository/);
});
