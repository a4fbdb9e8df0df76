import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { parseAllDocuments } from "yaml";
import { createPrivateFolder } from "../src/host/private-folder.ts";
import { makeSite, result } from "./support/runs/put-and-get.ts";
import { assertFailedCleanly } from "./support/runs/resource.ts";
import { checkout, toolEnvironment } from "./support/runs/test-step.ts";
import { startBuildkitd } from "./support/servers/buildkit.ts";

const example = join(checkout, "examples/kubernetes");

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
}

async function resources(name: string): Promise<Resource[]> {
  const documents = parseAllDocuments(await readFile(join(example, name), "utf8"));
  return documents.map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as Resource;
  });
}

/** Where kubernetes-types has the type of a resource. */
const modules: Readonly<Record<string, string>> = {
  v1: "core/v1",
  "apps/v1": "apps/v1",
  "networking.k8s.io/v1": "networking/v1",
};

/** What the compiler says of resources that are written as literals of Kubernetes' own types. */
async function typeErrors(all: readonly Resource[]): Promise<string> {
  await using folder = await createPrivateFolder("test-kubernetes");
  await symlink(join(checkout, "node_modules"), join(folder.path, "node_modules"));
  const lines = all.flatMap((resource, index) => [
    `import type { ${resource.kind} as T${index} } from "kubernetes-types/${modules[resource.apiVersion]}";`,
    `export const resource${index}: T${index} = ${JSON.stringify(resource, undefined, 1)};`,
  ]);
  await writeFile(join(folder.path, "resources.ts"), lines.join("\n"));
  const strict = [
    "--noEmit",
    "--strict",
    "--ignoreConfig",
    "--module",
    "esnext",
    "--moduleResolution",
    "bundler",
  ];
  const { stdout } = await execa("tsc", [...strict, "resources.ts"], {
    cwd: folder.path,
    reject: false,
    env: toolEnvironment(),
    localDir: checkout,
    preferLocal: true,
  });
  return stdout;
}

test("the example for Kubernetes has the fields that Kubernetes knows, each with a value of its type", async () => {
  const all = await resources("buildkitd.yml");
  assert.deepEqual(
    all.map(({ kind }) => kind),
    ["Service", "StatefulSet", "ConfigMap", "NetworkPolicy"],
  );
  assert.equal(await typeErrors(all), "");
  const mistakes = [
    ['"readinessProbe"', '"readynessProbe"', /readynessProbe"?' does not exist in type/],
    ['"port":1234', '"port":"1234"', /Type 'string' is not assignable to type 'number'/],
  ] as const;
  for (const [right, wrong, message] of mistakes) {
    const broken: Resource[] = JSON.parse(JSON.stringify(all).replaceAll(right, wrong));
    assert.match(await typeErrors(broken), message);
  }
});

test("what the example mounts, selects and checks certificates for is what it makes", async () => {
  const [service, set, config, policy] = await resources("buildkitd.yml");
  const text = JSON.stringify(set);
  assert.ok(service !== undefined && config !== undefined);
  for (const { metadata } of [service, config]) assert.ok(text.includes(`"name":"${metadata.name}"`));
  const labels = '{"matchLabels":{"app":"buildkitd"}}';
  for (const part of [text, JSON.stringify(policy)]) assert.ok(part.includes(labels));
  const certificates = JSON.stringify(await resources("cert-manager.yml"));
  for (const name of ["buildkitd-server", "buildkitd-client", "buildkitd.ci.svc"])
    assert.ok(certificates.includes(`"${name}"`), name);
  assert.ok(text.includes('"secretName":"buildkitd-server"'));
});

test("the example's disk has no setgid bit, which folders of images would inherit", async () => {
  const [, set] = await resources("buildkitd.yml");
  assert.doesNotMatch(JSON.stringify(set), /fsGroup/);
  await using folder = await createPrivateFolder("test-kubernetes");
  const modes: string[] = [];
  for (const mode of [0o755, 0o2775]) {
    const root = join(folder.path, mode.toString(8));
    await mkdir(root);
    await chmod(root, mode);
    await using daemon = await startBuildkitd({ root });
    await using site = await makeSite("RUN mkdir /made && busybox stat -c %a /made > /result\n");
    const run = await site.put({}, { buildkit: { address: daemon.address } });
    modes.push((await result(await site.get(run))).trim());
  }
  // If BuildKit no longer inherits it, the example can do with fsGroup.
  assert.deepEqual(modes, ["755", "2755"]);
});

test("a daemon with the example's configuration and certificates builds for Concourse's certificate alone", async () => {
  await using folder = await createPrivateFolder("test-kubernetes");
  const certificates = join(folder.path, "certificates");
  const script = join(example, "certificates.sh");
  await execa("sh", [script, certificates, "localhost"], { env: toolEnvironment() });
  const modes = await Promise.all(
    (await readdir(certificates)).map(async (name) => (await stat(join(certificates, name))).mode & 0o77),
  );
  assert.ok(modes.every((mode) => mode === 0));
  const file = (name: string) => join(certificates, name);
  const config = (await resources("buildkitd.yml")).find(({ kind }) => kind === "ConfigMap");
  const tls = { ca: file("ca.crt"), cert: file("server.crt"), key: file("server.key") };
  await using daemon = await startBuildkitd({
    listen: "tcp",
    tls,
    collects: true,
    config: config?.data?.["buildkitd.toml"] ?? "",
  });
  assert.doesNotMatch(daemon.log(), /level=(warning|error).*config/);
  const address = daemon.address.replace("127.0.0.1", "localhost");
  const own = ["--tlscacert", tls.ca, "--tlscert", file("client.crt"), "--tlskey", file("client.key")];
  const question = ["--addr", address, ...own, "debug", "workers", "--verbose"];
  const { stdout } = await execa("buildctl", question, { env: toolEnvironment() });
  // 80 GB and 10 GB, in units of 1024.
  assert.match(stdout, /Minimum free space:\s+10\.7\d*GB\s+Maximum used space:\s+85\.8\d*GB/);
  await using site = await makeSite("RUN echo built > /result\n");
  const text = (name: string) => readFile(file(name), "utf8");
  const [ca, cert, key] = await Promise.all(["ca.crt", "client.crt", "client.key"].map(text));
  // Made anew by the same authority, as when certificates are about to end.
  await execa("sh", [script, certificates, "localhost"], { env: toolEnvironment() });
  const renewed = { ca, cert: await text("client.crt"), key: await text("client.key") };
  assert.notEqual(renewed.cert, cert);
  for (const accepted of [{ ca, cert, key }, renewed]) {
    const run = await site.put({}, { buildkit: { address, tls: accepted } });
    assert.equal(await result(await site.get(run)), "built\n");
  }
  const server = { ca, cert: await text("server.crt"), key: await text("server.key") };
  for (const refused of [{ ca }, server])
    assertFailedCleanly(await site.put({}, { buildkit: { address, tls: refused } }), /certificate/);
});
