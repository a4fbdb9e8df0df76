import assert from "node:assert/strict";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { findCredentials } from "../../src/registry/credentials.ts";
import { dockerConfig } from "../../src/registry/docker-config.ts";
import { readSource } from "../../src/request/read-parts.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startForwardProxy } from "../support/servers/forward-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

/** What people call Docker Hub; the last is what the Docker client calls it. */
const names = [
  "docker.io",
  "registry-1.docker.io",
  "index.docker.io",
  "https://index.docker.io",
  "https://index.docker.io/v1/",
];
const clientsName = "https://index.docker.io/v1/";
function authsOf(auths: Record<string, unknown>): unknown {
  return dockerConfig({ hosts: new Map(), dockerConfig: { auths } })["auths"];
}

const step = { env: toolEnvironment(), signal: new AbortController().signal };
const auth = Buffer.from("me:secret").toString("base64");
const password = { kind: "password", username: "me", password: "secret" };

for (const name of names) {
  test(`Docker Hub's credentials are found under ${name}, for BuildKit and for us, in all three places`, async () => {
    const sources = [
      { docker_config: { auths: { [name]: { auth } } } },
      { docker_config: JSON.stringify({ auths: { [name]: { auth }, "other.example": { auth: "x" } } }) },
      { registries: { [name]: { username: "me", password: "secret" } } },
    ];
    for (const given of sources) {
      const { registryAccess } = readSource({ directory: "/builds", ...given });
      const { auths } = dockerConfig(registryAccess) as { auths: Record<string, unknown> };
      assert.deepEqual(auths[clientsName], { auth });
      for (const host of ["docker.io", "registry-1.docker.io"]) {
        assert.deepEqual(await findCredentials(registryAccess, host, step), password);
      }
    }
  });

  test(`Docker Hub's credential helper is found under ${name}, and asked by the client's name for it`, async () => {
    await using folder = await createPrivateFolder("test-helper");
    const program = join(folder.path, "docker-credential-fake");
    await writeFile(
      program,
      `#!/bin/sh\nread -r server\n[ "$server" = ${clientsName} ] && echo '{"Username":"me","Secret":"secret"}'\n`,
    );
    await chmod(program, 0o755);
    const given = { docker_config: { credHelpers: { [name]: "fake" } } };
    const { registryAccess } = readSource({ directory: "/builds", ...given });
    const env = { ...step.env, PATH: `${folder.path}:${step.env["PATH"]}` };
    assert.deepEqual(await findCredentials(registryAccess, "docker.io", { ...step, env }), password);
  });
}

test("of several entries for Docker Hub, the client's own goes first, and an empty one doesn't count", () => {
  const other = { auth: Buffer.from("other:x").toString("base64") };
  assert.deepEqual(authsOf({ "docker.io": other, [clientsName]: { auth } }), {
    [clientsName]: { auth },
  });
  assert.deepEqual(authsOf({ [clientsName]: {}, "docker.io": { auth } }), {
    [clientsName]: { auth },
  });
  const desktops = { "https://index.docker.io/v1/access-token": {}, [clientsName]: { auth } };
  assert.deepEqual(authsOf(desktops), desktops);
});

test("a put and its get log in to Docker Hub, for the base image and for the store", async () => {
  await using authority = await createAuthority();
  const tls = await authority.server("registry-1.docker.io");
  const htpasswd = { me: "secret" };
  await using folder = await createPrivateFolder("test-hub");
  await using plain = await startRegistry({ folder: folder.path });
  const { tag } = await storeImage(`${plain.host}/team/base`);
  await using hub = await startRegistry({ folder: folder.path, tls, htpasswd });
  await using way = await startForwardProxy({ "registry-1.docker.io:443": hub.host });
  const env = { HTTPS_PROXY: way.url, NO_COLOR: "1" };
  const source = {
    repository: "team/app",
    ca_certs: await readFile(authority.ca, "utf8"),
    docker_config: { auths: { "index.docker.io": { auth } } },
  };
  const put = await smallPut({ source, env, dockerfile: `FROM team/base:${tag}\nCOPY Dockerfile /\n` });
  const { version } = versionOf(put);
  await using got = await createPrivateFolder("test-get");
  versionOf(await runResource("in", { args: [got.path], stdin: { source, version }, env }));
  assert.ok(way.asked.length > 0);
  assert.match(hub.log(), /"PUT \/v2\/team\/app\/manifests\/build-/);
});
