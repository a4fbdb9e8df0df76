import assert from "node:assert/strict";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { assertHoldsNone, canary } from "../support/runs/canaries.ts";
import { makeSite, result, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { makeRepository, startGitServer } from "../support/servers/git-server.ts";

const secret = canary("the password");
const login = { user: "robot", password: `p@ss%2F:${secret.text}` };
const userinfo = `${login.user}:${encodeURIComponent(login.password)}`;

test("user and password of a URL serve to fetch contexts, git's and others, and are seen nowhere", async () => {
  await using site = await makeSite("");
  const repository = join(site.folder, "served/app.git");
  await mkdir(repository, { recursive: true });
  await copyFile("/bin/busybox", join(repository, "busybox"));
  await writeFile(join(repository, "file"), "from git\n");
  await writeFile(
    join(repository, "Dockerfile"),
    `${shell}COPY --from=more /file /git\nCOPY --from=web /context /web\nRUN cat /git /web > /result\n`,
  );
  await makeRepository(repository);
  await using server = await startGitServer(join(site.folder, "served"), login);
  const git = `http://${userinfo}@${server.host}/app.git/.git`;
  const run = await site.put({
    context: git,
    contexts: { more: `${git}#main`, web: `http://${userinfo}@${server.host}/some/file` },
    provenance: "max",
  });
  assert.equal(await result(await site.get(run, { unpack_rootfs: true })), "from git\n/some/file\n");
  assert.ok(server.shown.length > 0);
  assertHoldsNone("stdout and stderr", run.output, [secret]);
  const wrong = await site.put({ context: git.replace("robot", "nobody") });
  assertFailedCleanly(wrong, /load git source http:\/\/127/);
  assertHoldsNone("stdout and stderr", wrong.output, [secret]);
});

test("two logins for one host are told apart from the author's own secret, and refused", async () => {
  await using site = await makeSite("");
  const context = "https://robot:hunter2@git.example/app.git";
  for (const params of [
    { context, contexts: { more: "https://other:hunter2@git.example/app.git" } },
    { context, secrets: { "GIT_AUTH_HEADER.git.example": { text: "Basic x" } } },
  ]) {
    const run = await site.put(params);
    assertFailedCleanly(
      run,
      /context: a URL has a user and a password, and .* for the same host: remove one/,
    );
    assert.doesNotMatch(run.output, /hunter2/);
  }
});
