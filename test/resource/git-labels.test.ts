import assert from "node:assert/strict";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";

type Fields = Readonly<Record<string, unknown>>;

/** A put's folder with a checkout of one commit in `repo`, whose context is `repo/app`. */
async function makeCheckout() {
  const folder = await createPrivateFolder("test-git-labels");
  const repo = join(folder.path, "inputs/repo");
  await mkdir(join(repo, "app"), { recursive: true });
  await writeFile(join(repo, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const git = async (...args: readonly string[]) =>
    (await execa("git", ["-C", repo, ...args], { env: identity })).stdout;
  await git("init", "-q");
  await git("add", ".");
  await git("commit", "-qm", "one");
  await git("remote", "add", "origin", "https://user:secret@git.example/team/app.git?token=secret");
  const source = { directory: join(folder.path, "builds") };
  const put = (params: Fields = {}): Promise<Run> =>
    runResource("out", {
      args: [join(folder.path, "inputs")],
      stdin: { source, params: { context: "repo/app", git_labels: true, reproducible: true, ...params } },
      env: { NO_COLOR: "1" },
    });
  const labels = async (run: Run, params: Fields = {}) => {
    const to = join(folder.path, "get");
    versionOf(
      await runResource("in", { args: [to], stdin: { source, version: versionOf(run).version, params } }),
    );
    return JSON.parse(await readFile(join(to, "labels.json"), "utf8")) as Fields;
  };
  return { repo, git, put, labels, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

const identity = {
  GIT_AUTHOR_NAME: "A",
  GIT_AUTHOR_EMAIL: "a@example.com",
  GIT_COMMITTER_NAME: "C",
  GIT_COMMITTER_EMAIL: "c@example.com",
  GIT_COMMITTER_DATE: "2026-01-02T03:04:05+02:00",
};

test("labels of the commit say where an image comes from, without the password of the address", async () => {
  await using site = await makeCheckout();
  const expected = {
    "org.opencontainers.image.created": "2026-01-02T01:04:05Z",
    "org.opencontainers.image.revision": await site.git("rev-parse", "HEAD"),
    "org.opencontainers.image.source": "https://git.example/team/app.git",
  };
  assert.deepEqual(await site.labels(await site.put()), expected);
  const named = await site.put({ labels: { "org.opencontainers.image.source": "mine", team: "shop" } });
  assert.deepEqual(await site.labels(named), {
    ...expected,
    "org.opencontainers.image.source": "mine",
    team: "shop",
  });
  assert.deepEqual(await site.labels(await site.put({ git_labels: false })), {});
});

test("two puts of one commit give one version, of two platforms as well, and another commit another", async () => {
  await using site = await makeCheckout();
  for (const params of [{}, { platforms: ["linux/amd64", "linux/arm64"] }]) {
    const one = versionOf(await site.put(params)).version;
    const again = versionOf(await site.put({ ...params, no_cache: true })).version;
    assert.deepEqual(again, one);
    await site.git("commit", "-q", "--allow-empty", "-m", "next");
    assert.notDeepEqual(versionOf(await site.put(params)).version, one);
  }
});

test("a context that isn't a checkout of the put's is refused with what to change", async () => {
  await using site = await makeCheckout();
  // A checkout above the put's folder, or one that .git leads to, is not the put's.
  await rename(join(site.repo, ".git"), join(site.repo, "../../.git"));
  assertFailedCleanly(
    await site.put(),
    /git_labels: the context doesn't lie in a git checkout among the inputs/,
  );
  await writeFile(join(site.repo, ".git"), `gitdir: ${join(site.repo, "../../.git")}\n`);
  assertFailedCleanly(
    await site.put(),
    /git_labels: the context doesn't lie in a git checkout among the inputs/,
  );
  assertFailedCleanly(
    await site.put({ context: "https://git.example/team/app.git" }),
    /git_labels: the context is a git URL/,
  );
});

test("no program that a checkout's configuration names is run", async () => {
  await using site = await makeCheckout();
  const trap = join(site.repo, "../../ran");
  for (const name of ["core.fsmonitor", "core.pager", "gpg.program", "core.sshCommand", "diff.external"])
    await site.git("config", name, `touch ${trap}`);
  await site.git("config", "log.showSignature", "true");
  versionOf(await site.put());
  await assert.rejects(readFile(trap), /ENOENT/);
});
