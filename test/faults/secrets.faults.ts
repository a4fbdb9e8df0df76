import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import {
  assertFilesHoldNone,
  assertHoldsNone,
  assertProcessesHoldNone,
  canary,
  keyCanary,
  Looks,
  watchProcesses,
} from "../support/runs/canaries.ts";
import { shell } from "../support/runs/put-and-get.ts";
import { type StartedRun, startResource, versionOf } from "../support/runs/resource.ts";
import { smallPut, startSmallPut } from "../support/runs/small-put.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { until } from "../support/runs/wait-until.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { makeRepository, startGitServer } from "../support/servers/git-server.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startTokenServer } from "../support/servers/token-server.ts";

const dockerfile = `${shell}
COPY --from=repository /file /from-git
COPY --from=web /context /from-web
RUN --mount=type=secret,id=text --mount=type=secret,id=file --mount=type=secret,id=variable \\
    [ -s /run/secrets/text ] && [ -s /run/secrets/file ] && [ -s /run/secrets/variable ] && echo used > /result
`;

/** What the Dockerfile ends with, for a build that comes to that. */
const steps = { success: "", failure: "RUN exit 7\n", abort: "RUN echo running; sleep 600\n" };

/** A put's folder with the input `app`, and `keys/secret`. */
async function makeInputs(folder: string, secret: string): Promise<string> {
  const inputs = join(folder, "inputs");
  await mkdir(join(inputs, "app"), { recursive: true });
  await mkdir(join(inputs, "keys"));
  await writeFile(join(inputs, "keys/secret"), secret);
  await copyFile("/bin/busybox", join(inputs, "app/busybox"));
  return inputs;
}

/** An S3 that has nothing and takes nothing. */
async function startBucket(asked: (headers: IncomingHttpHeaders) => void) {
  const server = createServer((request, response) => {
    asked(request.headers);
    response.writeHead(404).end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A repository and other files, served to `robot` with the password. */
async function serveRepository(folder: string, password: string, looks?: Looks) {
  await mkdir(join(folder, "served/team.git"), { recursive: true });
  await writeFile(join(folder, "served/team.git/file"), "from git\n");
  await makeRepository(join(folder, "served/team.git"));
  const server = await startGitServer(
    join(folder, "served"),
    { user: "robot", password },
    () => looks?.atAll() ?? Promise.resolve(),
  );
  const start = `http://robot:${encodeURIComponent(password)}@${server.host}`;
  return {
    contexts: { repository: `${start}/team.git/.git#main`, web: `${start}/some/file` },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Watches a put's processes to its end, which is an abort if it shall end so. */
async function watchTo(outcome: keyof typeof steps, started: StartedRun, looks?: Looks) {
  const watched = watchProcesses(started, looks);
  if (outcome === "abort") {
    await started.wrote(/\] running/);
    started.kill("SIGTERM");
  }
  const { run, seen } = await watched;
  assert.equal(run.status === 0, outcome === "success", run.output);
  return { run, seen };
}

async function sshKey(folder: string): Promise<string> {
  const path = join(folder, "key");
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
  return readFile(path, "utf8");
}

for (const outcome of ["success", "failure", "abort"] as const) {
  test(`no secret is found anywhere after ${outcome}`, async () => {
    await using folder = await createPrivateFolder("test-secrets");
    const password = canary("the registry's password");
    const other = canary("another registry's password");
    const identity = canary("the identity token");
    const text = canary("the secret text");
    const lines = canary("the second line of the secret text");
    const file = canary("the secret file");
    const url = canary("the password in a context's URL");
    // The operator's: in the environment, and nowhere else.
    const variable = canary("the secret variable");
    const proxy = canary("the proxy's password");

    await using authority = await createAuthority();
    const certificate = await authority.server();
    const client = await authority.client("worker");
    const [ca, cert, key] = await Promise.all(
      [authority.ca, client.cert, client.key].map((path) => readFile(path, "utf8")),
    );
    await using tokens = await startTokenServer(certificate, {
      [identity.core]: { password: "", may: { "*": ["pull", "push"] } },
    });
    await using registry = await startRegistry({ htpasswd: { user: password.text } });
    await using cache = await startRegistry({ tls: certificate, token: tokens.token });
    await using daemon = await startBuildkitd({
      listen: "tcp",
      tls: certificate,
      config: `[registry."${cache.host}"]\nhttp = false\nca = [${JSON.stringify(authority.ca)}]\n`,
    });
    await using web = await serveRepository(folder.path, url.text);
    const ssh = await sshKey(folder.path);
    const inputs = await makeInputs(folder.path, file.text);

    const ours = [password, other, identity, text, lines, file, url];
    const keys = [keyCanary("the ssh key", ssh), keyCanary("the client's key", key ?? "")];
    const canaries = [...ours, ...keys];
    const all = [...canaries, variable, proxy];
    const source = {
      repository: `${registry.host}/team/app`,
      insecure: true,
      username: "user",
      password: password.text,
      ca_certs: ca,
      docker_config: { auths: { [cache.host]: { identitytoken: `refresh-${identity.core}` } } },
      registries: {
        "other.example": { username: "a", password: other.text, client_cert: cert, client_key: key },
      },
      cache: { ref: `${cache.host}/team/cache` },
      buildkit: { address: daemon.address, tls: { ca, cert, key } },
    };
    const started = await startResource("out", {
      args: [inputs],
      stdin: {
        source,
        params: {
          context: "app",
          contexts: web.contexts,
          dockerfile_inline: dockerfile + steps[outcome],
          secrets: {
            text: { text: `${text.text}\n${lines.text}\n` },
            file: { file: "keys/secret" },
            variable: { env: "HIDDEN" },
          },
          ssh: { default: { key: ssh } },
          provenance: "max",
          compression: "zstd",
          tags: ["latest"],
        },
      },
      env: {
        NO_COLOR: "1",
        HIDDEN: variable.text,
        HTTPS_PROXY: `http://user:${encodeURIComponent(proxy.text)}@127.0.0.1:9`,
      },
    });
    const { run, seen } = await watchTo(outcome, started);
    assert.ok(seen.some(({ command }) => /^buildctl .* build /.test(command)));
    assertProcessesHoldNone(seen, canaries);
    assertHoldsNone("stdout and stderr", run.output, all);
    assertHoldsNone("the daemon's log", daemon.log(), all);
    assertHoldsNone("the registry's log", registry.log(), all);
    // The cache's registry knows its user by the name that is in the token.
    const strangers = all.filter((each) => each !== identity);
    assertHoldsNone("the cache's registry's log", cache.log(), strangers);
    assert.deepEqual(run.leftovers, []);
    await assertFilesHoldNone(registry.folder, all);
    const cached = await assertFilesHoldNone(cache.folder, all);
    await assertFilesHoldNone(daemon.root, all);
    if (outcome !== "success") return;
    assert.ok(cached > 0, run.output);
    const to = join(folder.path, "got");
    const got = await startResource("in", {
      args: [to],
      stdin: { source, version: versionOf(run).version, params: { unpack_rootfs: true } },
    });
    const { run: get, seen: seenByGet } = await watchProcesses(got);
    versionOf(get);
    assertProcessesHoldNone(seenByGet, canaries);
    assertHoldsNone("stdout and stderr of the get", get.output, all);
    await assertFilesHoldNone(to, all);
  });
}

for (const outcome of ["success", "failure", "abort"] as const) {
  test(`with a daemon of its own, a secret is in the variables of the one program that needs it, to the ${outcome}`, async () => {
    await using folder = await createPrivateFolder("test-secrets");
    const s3 = ["access key", "secret access key", "session token"].map((name) =>
      canary(`the cache's ${name}`),
    );
    const gha = canary("the cache's token");
    const url = canary("the password in a context's URL");
    const text = canary("the secret text");
    const file = canary("the secret file");
    const proxy = canary("the proxy's password");
    // git is there for a moment only: it gets its answers when it has been seen.
    const looks = new Looks();
    await using web = await serveRepository(folder.path, url.text, looks);
    const inputs = await makeInputs(folder.path, file.text);
    const [access, secret, session] = s3.map(({ core }) => core);
    const nowhere = "http://127.0.0.1:9/";
    const shown: unknown[] = [];
    await using bucket = await startBucket(({ authorization, "x-amz-security-token": token }) => {
      shown.push([/Credential=([^/]*)/.exec(authorization ?? "")?.[1], token]);
    });
    const builds = join(folder.path, "builds");
    const started = await startResource("out", {
      args: [inputs],
      stdin: {
        source: {
          directory: builds,
          cache: [
            {
              type: "s3",
              use_path_style: true,
              bucket: "b",
              region: "r",
              endpoint_url: bucket.url,
              access_key_id: access,
              secret_access_key: secret,
              session_token: session,
            },
            { type: "gha", url: nowhere, token: gha.core, export: false },
          ],
        },
        params: {
          context: "app",
          contexts: web.contexts,
          dockerfile_inline: dockerfile + steps[outcome],
          secrets: { text: { text: text.text }, file: { file: "keys/secret" }, variable: { text: "x" } },
          provenance: "max",
        },
      },
      env: {
        NO_COLOR: "1",
        HTTP_PROXY: `http://user:${proxy.core}@127.0.0.1:9`,
        // The worker's own, which isn't the cache's.
        AWS_ACCESS_KEY_ID: "of-the-worker",
        AWS_SECRET_ACCESS_KEY: "of-the-worker",
      },
    });
    const { run, seen } = await watchTo(outcome, started, looks);
    assert.deepEqual(run.leftovers, []);
    // BuildKit hands the header of a git URL to git as an argument, and git to what it starts: SECURITY.md names it.
    const ofGit = seen.filter(({ environment }) => environment.includes("GIT_CONFIG_NOSYSTEM="));
    assert.ok(ofGit.length > 0, "git was not seen");
    const others = seen.filter((process) => !ofGit.includes(process));
    assertProcessesHoldNone(others, [...s3, gha, url, text, file], ({ command }) =>
      /^(setpriv .* -- )?buildctl .* build /.test(command) ? [gha] : [],
    );
    assert.ok(shown.length > 0);
    assert.deepEqual(new Set(shown.map(String)), new Set([`${access},${session}`]));
    const all = [...s3, gha, url, text, file, proxy];
    assertHoldsNone("arguments", others.map(({ command }) => command).join("\n"), all);
    assertHoldsNone("stdout and stderr", run.output, all);
    const stored = await assertFilesHoldNone(builds, all);
    assert.equal(stored > 0, outcome === "success");
  });
}

test("a task's secrets are in its own variables, and in those of no program that it starts", async () => {
  await using folder = await createPrivateFolder("test-secrets");
  const text = canary("the secret text");
  const file = canary("the secret file");
  const inputs = await makeInputs(folder.path, file.text);
  await mkdir(join(inputs, "cache"));
  const using = `${shell}RUN --mount=type=secret,id=text --mount=type=secret,id=file cat /run/secrets/* | wc -c > /result\n`;
  await writeFile(join(inputs, "app/Dockerfile"), using);
  const started = await startResource("build", {
    cwd: inputs,
    env: {
      NO_COLOR: "1",
      CONTEXT: "app",
      BUILDKIT_SECRETTEXT_text: `${text.text}\n`,
      BUILDKIT_SECRET_file: "keys/secret",
      UNPACK_ROOTFS: "true",
    },
  });
  const { run, seen } = await watchProcesses(started);
  assert.equal(run.status, 0, run.output);
  // The launcher's shell forks to look for things; what it becomes is the run's own process. A fork of either looks like
  // its parent until it becomes another program (execve(2)).
  const itself = /^\S*(?:sh (?:-p )?\S*\/assets\/build|node \S+ \S+\/main\.(?:ts|mjs) build) *$/;
  assertProcessesHoldNone(seen, [text, file], ({ command, isFirst }) =>
    isFirst || itself.test(command) ? [text] : [],
  );
  assertHoldsNone("stdout and stderr", run.output, [text, file]);
  for (const output of ["image", "cache"])
    assert.ok((await assertFilesHoldNone(join(inputs, output), [text, file])) > 0, output);
});

test("no error shows a proxy's password, a cloud's key or what a credential helper has", async () => {
  const proxy = canary("the proxy's password");
  const [key, session, helped] = ["AWS key", "AWS session", "helper's"].map((name) => canary(name));
  assert.ok(key !== undefined && session !== undefined && helped !== undefined);
  const source = {
    repository: "registry.example/app",
    timeouts: { retry: 1 },
    docker_config: { auths: { "registry.example": { auth: `${helped.core}=` } } },
  };
  const env = {
    HTTPS_PROXY: `http://user:${encodeURIComponent(proxy.text)}@127.0.0.1:9`,
    https_proxy: `http://user:${encodeURIComponent(proxy.text)}@127.0.0.1:9`,
  };
  await using registry = await startRegistry({ htpasswd: { user: "another" } });
  const cloud = {
    repository: `${registry.host}/app`,
    insecure: true,
    timeouts: { retry: 1 },
    aws_region: "eu-west-1",
    aws_access_key_id: "AKIAEXAMPLE",
    aws_secret_access_key: key.core,
    aws_session_token: session.core,
  };
  await using folder = await createPrivateFolder("test-secrets");
  // It fails when it has been seen.
  const [begun, seenByUs] = ["begun", "seen"].map((name) => join(folder.path, name));
  await writeFile(
    join(folder.path, "docker-credential-ecr-login"),
    `#!/bin/sh\ncat >/dev/null; : >${begun}; until [ -e ${seenByUs} ]; do sleep 0.05; done; echo no identity; exit 1\n`,
    { mode: 0o755 },
  );
  const path = `${folder.path}:${toolEnvironment()["PATH"]}`;
  for (const { from, program } of [
    { from: source, program: /main\.mjs out/ },
    { from: cloud, program: /docker-credential-ecr-login get/ },
  ]) {
    const looks = new Looks();
    const started = await startSmallPut({ source: from, env: { ...env, PATH: path } });
    const watched = watchProcesses(started, looks);
    if (from === cloud) {
      await until(() => existsSync(String(begun)), "the credential helper has begun");
      await looks.atAll();
      await writeFile(String(seenByUs), "");
    }
    const { run, seen } = await watched;
    assert.equal(run.status, 1, run.output);
    assertHoldsNone("stdout and stderr", run.output, [proxy, key, session, helped]);
    assert.ok(
      seen.some(({ command }) => program.test(command)),
      run.output,
    );
    assertProcessesHoldNone(seen, [key, session, helped]);
    assert.deepEqual(run.leftovers, []);
  }
});

test("a build arg whose name looks like a secret's is warned of, with what to use instead", async () => {
  await using daemon = await startBuildkitd();
  await using folder = await createPrivateFolder("test-secrets");
  const source = { directory: join(folder.path, "builds"), buildkit: { address: daemon.address } };
  const put = (buildArgs: Readonly<Record<string, string>>) =>
    smallPut({ source, dockerfile: "FROM scratch\nLABEL a=b\n", params: { build_args: buildArgs } });
  const run = await put({ NPM_TOKEN: "hidden-value", VERSION: "1" });
  versionOf(run);
  assert.match(run.stderr, /warning: build arg NPM_TOKEN .*history.*secrets: \{npm_token: \{text: …\}\}/);
  assert.doesNotMatch(run.stderr, /hidden-value/);
  const byValue = await put({
    INDEX: "https://me:hidden-value@pypi.example/simple",
    PAGE: "https://a.example/",
  });
  assert.match(byValue.stderr, /warning: build arg INDEX looks like a secret/);
  assert.doesNotMatch(byValue.stderr, /hidden-value|arg PAGE/);
  assert.doesNotMatch(
    (await put({ TOKENIZER: "x", KEYBOARD: "y", COMMIT: "z" })).stderr,
    /warning: build arg/,
  );
});
