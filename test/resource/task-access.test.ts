import assert from "node:assert/strict";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import {
  assertHoldsNone,
  assertProcessesHoldNone,
  canary,
  watchProcesses,
} from "../support/runs/canaries.ts";
import { assertFailedCleanly, type Run, runResource, startResource } from "../support/runs/resource.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startRegistry } from "../support/servers/registry.ts";

const password = "canary-4711";
const auth = Buffer.from(`user:${password}`).toString("base64");

/** A task's folder, with a Dockerfile whose base is in a registry that wants a password and has a CA of its own. */
async function makeTask() {
  await using held = new AsyncDisposableStack();
  const { path } = held.use(await createPrivateFolder("test-task"));
  const authority = held.use(await createAuthority());
  const registry = held.use(
    await startRegistry({ tls: await authority.server(), htpasswd: { user: password } }),
  );
  const layout = await writeLayout(join(path, "layout"));
  const login = { username: "user", password, ca: authority.ca };
  await pushLayout(layout.folder, `${registry.host}/base:1`, login);
  const write = async (name: string, content: string) => {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), content);
  };
  await write("app/Dockerfile", `FROM ${registry.host}/base:1\nCOPY Dockerfile /copied\n`);
  const ca = await readFile(authority.ca, "utf8");
  const trusting = JSON.stringify({ [registry.host]: { ca_certs: ca } });
  const owned = held.move();
  return {
    path,
    host: registry.host,
    ca,
    /** A REGISTRIES that trusts the CA, and logs nobody in. */
    trusting,
    write,
    run: async (env: Readonly<Record<string, string>>): Promise<Run> => {
      const all = { NO_COLOR: "1", CONTEXT: "app", HOME: join(path, "home"), ...env };
      const run = await runResource("build", { cwd: path, env: all });
      assert.ok(!run.output.includes(password), "the log shows the password");
      return run;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function assertBuilt(run: Run): void {
  assert.equal(run.status, 0, run.output);
}

test("a task logs in to a base image's registry by REGISTRIES, in YAML and in JSON", async () => {
  await using task = await makeTask();
  const fields = { username: "user", password, ca_certs: task.ca };
  assertBuilt(await task.run({ REGISTRIES: JSON.stringify({ [task.host]: fields }) }));
  const ca = task.ca.replaceAll(/^/gm, "    ");
  const yaml = `"${task.host}":\n  username: user\n  password: ${password}\n  ca_certs: |\n${ca}\n`;
  assertBuilt(await task.run({ REGISTRIES: yaml }));
});

test("a task logs in by a Docker client's configuration: DOCKER_CONFIG, relative or absolute, or ~/.docker", async () => {
  await using task = await makeTask();
  const config = JSON.stringify({ auths: { [task.host]: { auth } } });
  await task.write("creds/config.json", config);
  const REGISTRIES = task.trusting;
  assertBuilt(await task.run({ REGISTRIES, DOCKER_CONFIG: "creds" }));
  assertBuilt(await task.run({ REGISTRIES, DOCKER_CONFIG: join(task.path, "creds") }));
  await task.write("home/.docker/config.json", config);
  assertBuilt(await task.run({ REGISTRIES, DOCKER_CONFIG: "" }));
  const missing = await task.run({ DOCKER_CONFIG: "app" });
  assertFailedCleanly(
    missing,
    /^error: DOCKER_CONFIG: there is no file "app\/config\.json"; "app" holds: Dockerfile$/m,
  );
  await task.write("bad/config.json", `{"auths": ${password}`);
  assertFailedCleanly(
    await task.run({ DOCKER_CONFIG: "bad" }),
    /^error: DOCKER_CONFIG: expected a map, or its JSON/m,
  );
});

test("a task asks the credential helpers of the Docker client's configuration", async () => {
  await using task = await makeTask();
  await task.write(
    "bin/docker-credential-canary",
    `#!/bin/sh\necho '{"Username":"user","Secret":"${password}"}'\n`,
  );
  await chmod(join(task.path, "bin/docker-credential-canary"), 0o755);
  const PATH = `${join(task.path, "bin")}:${process.env["PATH"] ?? ""}`;
  await task.write("creds/config.json", JSON.stringify({ credHelpers: { [task.host]: "canary" } }));
  assertBuilt(await task.run({ PATH, REGISTRIES: task.trusting, DOCKER_CONFIG: "creds" }));
});

test("what a task says of registries names its variables", async () => {
  await using task = await makeTask();
  const refused = await task.run({ REGISTRIES: task.trusting });
  assertFailedCleanly(refused, /REGISTRIES/);
  assert.doesNotMatch(refused.stderr, /in the source|params\./);
  for (const [text, message] of [
    ["[", /^error: REGISTRIES: expected YAML or JSON/m],
    ["- a", /^error: REGISTRIES: expected a map, found a list/m],
    ["a.example: {usrname: me}", /^error: REGISTRIES\.a\.example: there is no "usrname"/m],
    ["a.example: {username: me}", /^error: REGISTRIES\.a\.example: expected username and password together/m],
    [`{"a.example": "${password}"}`, /^error: REGISTRIES\.a\.example: expected a map, found a string/m],
  ] as const) {
    assertFailedCleanly(await task.run({ REGISTRIES: text }), message);
  }
});

test("no program that a task starts has a variable that the task reads, nor one that looks like a login", async () => {
  await using task = await makeTask();
  await task.write("app/Dockerfile", `FROM ${task.host}/base:1\nCOPY Dockerfile /copied\n`);
  const login = canary("the password in REGISTRIES");
  const own = {
    BUILDKIT_SECRETTEXT_npm: canary("a secret"),
    buildkit_ssh: canary("a path of a key, under another spelling"),
  };
  const meant = {
    BUILDKIT_SECRETTEXTS_npm: canary("a secret under a misspelt name"),
    DOCKER_PASSWORD: canary("another task's password"),
    DOCKER_USERNAME: canary("another task's user"),
    DOCKER_AUTH_CONFIG: canary("GitLab's logins"),
    REGISTRY_PASSWORD: canary("a registry's password"),
    REPOSITORY: canary("another task's repository"),
    secrets: canary("a put's secrets"),
    NPM_TOKEN: canary("a token"),
    GITHUB_PAT: canary("another token"),
    deploy_api_key: canary("a key"),
  };
  const cloud = canary("what a credential helper may need");
  const texts = Object.entries({ ...own, ...meant }).map(([name, { core }]) => [name, core]);
  const key = join(task.path, own.buildkit_ssh.core);
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", key]);
  const started = await startResource("build", {
    cwd: task.path,
    env: {
      NO_COLOR: "1",
      CONTEXT: "app",
      HOME: join(task.path, "home"),
      AWS_SECRET_ACCESS_KEY: cloud.core,
      ...Object.fromEntries(texts),
      buildkit_ssh: `default=${own.buildkit_ssh.core}`,
      REGISTRIES: JSON.stringify({
        [task.host]: { username: "user", password, ca_certs: task.ca },
        "other.example": { username: "user", password: login.core },
      }),
    },
  });
  const { run, seen } = await watchProcesses(started);
  assertBuilt(run);
  const all = [login, ...Object.values(own), ...Object.values(meant)];
  assertHoldsNone("the log", run.output, all);
  // Before the program that it starts, a new process is a copy of this one.
  const step = seen.filter(({ isFirst }) => isFirst).map(({ command }) => command);
  const programs = seen.filter(({ command }) => !step.includes(command) && !command.startsWith("readlink "));
  assert.ok(programs.some(({ command }) => /^(\S*\/)?buildctl .*build/.test(command)));
  assert.ok(programs.some(({ command }) => /buildkitd/.test(command)));
  assertProcessesHoldNone(programs, all);
  assert.ok(programs.some(({ environment }) => environment.includes(cloud.core)));
});
