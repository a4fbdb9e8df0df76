import assert from "node:assert/strict";
import { basename } from "node:path";
import { parse } from "smol-toml";
import { daemonConfig } from "../../../src/builder/engine/daemon-config.ts";
import { registryBlocks } from "../../../src/builder/engine/registry-blocks.ts";
import type { Inputs, NamedContext } from "../../../src/builder/inputs/inputs.ts";
import { readRemoteContext } from "../../../src/builder/inputs/remote-context.ts";
import { buildctlArguments } from "../../../src/builder/plan/buildctl-arguments.ts";
import { cacheAttributes } from "../../../src/builder/plan/layer-cache.ts";
import { planBuild } from "../../../src/builder/plan/plan.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";
import { UserError } from "../../../src/host/errors.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { withMirrors } from "../../../src/registry/mirrors.ts";
import type { OutRequest } from "../../../src/request/out-request.ts";
import { optionName } from "../../../src/request/param-values.ts";
import type { PutParams } from "../../../src/request/put-params.ts";
import type { Source } from "../../../src/request/source.ts";
import { csvFields, parseBuildctlArguments } from "./buildctl-arguments.ts";

const work = "/tmp/oci-build-x";
const digest = digestOf(Buffer.from("x"));

/** The inputs of params, were everything there that they name: as `resolveInputs` finds them, without a disk. */
function inputsOf(params: PutParams): Inputs {
  const context = readRemoteContext(params.context, "context", namesOfPut);
  if (context !== undefined && context.kind !== "git") throw new UserError("context: is no git URL");
  const contexts = Object.entries(params.contexts).map(([name, value]): NamedContext => {
    const remote = readRemoteContext(value, `contexts.${name}`, namesOfPut);
    if (remote !== undefined) return { kind: "remote", name, url: remote.url };
    return { kind: "folder", name, path: `/put/${value}` };
  });
  const logins = [params.context, ...Object.values(params.contexts)].flatMap(
    (value) => readRemoteContext(value, "contexts", namesOfPut)?.login?.id ?? [],
  );
  return {
    context:
      context === undefined
        ? { kind: "folder", path: `/put/${params.context}` }
        : { kind: "git", url: context.url },
    dockerfile: {
      folder: `${work}/dockerfile`,
      name: basename(params.dockerfile ?? "Dockerfile"),
      shown: params.dockerfile ?? "Dockerfile",
      text: params.dockerfileInline ?? "",
    },
    gitDockerfile: undefined,
    policyFile: params.sourcePolicy === undefined ? undefined : `${work}/policy.json`,
    buildArgs: params.buildArgs,
    labels: params.labels,
    target: params.target,
    imageArgs: Object.entries(params.imageArgs).map(([name, path]) => ({
      name,
      layout: `/put/${path}`,
      digest,
    })),
    contexts,
    secrets: [...Object.keys(params.secrets), ...new Set(logins)].map((id) => ({
      id,
      file: `${work}/${id}`,
    })),
    ssh: Object.entries(params.ssh).map(([id, keys]) => ({
      id,
      paths: keys.map((_key, index) => `${work}/ssh-${id}-${index}/key`),
    })),
  };
}

/**
 * Plans the builds of a request and asserts that buildctl and buildkitd read from arguments and configuration what was
 * asked for, and nothing else. Answers all arguments and the configuration.
 * @throws UserError where planning refuses
 */
export function assertPlanned({ source, params }: OutRequest): { args: readonly string[]; toml: string } {
  const inputs = inputsOf(params);
  const plan = planBuild({ ...params, sourcePolicy: undefined }, inputs);
  const authTls = Array.from(source.registryAccess.hosts.keys(), (host) => [["host", host]] as const);
  const all = plan.map((solve, index) => {
    const scope = { target: index === 0 ? "" : solve.target, platform: undefined };
    const caches = cacheAttributes(source.cache, scope);
    const args = buildctlArguments({
      solve,
      exporter: exporterOf(source),
      metadataFile: `${work}/metadata.json`,
      importCaches: caches.imports,
      exportCaches: caches.exports,
      authTls,
    });
    const { pairs, records, texts } = parseBuildctlArguments(args);
    const target = index === 0 ? params.target : params.additionalTargets[index - 1];
    assertOptions(pairs["opt"] ?? new Map(), params, target);
    assert.deepEqual(pairs["opt"] ?? new Map(), new Map(solve.options));
    assert.deepEqual(pairs["local"] ?? new Map(), new Map(solve.locals));
    assert.deepEqual(texts["allow"] ?? [], params.allow);
    assert.deepEqual(texts["source-policy-file"], inputs.policyFile && [inputs.policyFile]);
    const list = (name: string) => records[name] ?? [];
    assert.deepEqual(
      list("secret"),
      inputs.secrets.map(({ id, file }) => [
        ["id", id],
        ["src", file],
      ]),
    );
    assert.deepEqual(
      list("ssh"),
      inputs.ssh.map(({ id, paths }) => paths.map((path) => [id, path])),
    );
    assert.deepEqual(list("import-cache"), caches.imports);
    assert.deepEqual(list("export-cache"), caches.exports);
    assert.deepEqual(list("registry-auth-tlscontext"), authTls);
    assertOutput(list("output"), source, params);
    return args;
  });
  return { args: all.flat(), toml: assertConfigured(source, params) };
}

function exporterOf({ store }: Source): Parameters<typeof buildctlArguments>[0]["exporter"] {
  return store.kind === "registry"
    ? { kind: "push", destinations: [{ repository: store.repository, insecure: false }] }
    : { kind: "layout", folder: `${work}/stage` };
}

/** What the params say, told apart again: not by way of the plan. */
function assertOptions(
  given: ReadonlyMap<string, string>,
  params: PutParams,
  target: string | undefined,
): void {
  const withPrefix = (prefix: string) =>
    Object.fromEntries(
      [...given].flatMap(([name, value]) =>
        name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
      ),
    );
  const { SOURCE_DATE_EPOCH: _epoch, BUILDKIT_DOCKERFILE_CHECK: _check, ...args } = withPrefix("build-arg:");
  const { SOURCE_DATE_EPOCH: _ownEpoch, BUILDKIT_DOCKERFILE_CHECK: _ownCheck, ...own } = params.buildArgs;
  for (const name of Object.keys(params.imageArgs)) {
    delete args[name];
    delete own[name];
  }
  assert.deepEqual(args, own);
  assert.deepEqual(withPrefix("label:"), params.labels);
  assert.equal(given.get("target"), target);
  for (const [name, value] of Object.entries(params.frontendOptions)) assert.equal(given.get(name), value);
  const byParams = [...given.keys()].filter((name) => !Object.hasOwn(params.frontendOptions, name));
  assert.deepEqual(
    byParams.filter((name) => optionName.safeParse(name).success),
    [],
    "options could set what a param sets",
  );
  const hosts = Object.entries(params.addHosts).flatMap(([host, list]) => list.map((ip) => `${host}=${ip}`));
  assert.deepEqual(listOf(given.get("add-hosts")), hosts);
  assert.deepEqual(
    listOf(given.get("ulimit")),
    Object.entries(params.ulimits).map(([name, limit]) => `${name}=${limit}`),
  );
  if (Array.isArray(params.noCache)) assert.deepEqual(listOf(given.get("no-cache")), params.noCache);
  if (typeof params.sbom === "object")
    assert.deepEqual(listOf(given.get("attest:sbom")), [`generator=${params.sbom.generator}`]);
}

function listOf(record: string | undefined): string[] {
  return record === undefined ? [] : csvFields(record);
}

function assertOutput(
  outputs: readonly (readonly (readonly [string, string])[])[],
  source: Source,
  params: PutParams,
): void {
  assert.equal(outputs.length, 1);
  const fields = outputs[0] ?? [];
  const names = fields.map(([name]) => name.toLowerCase());
  assert.equal(new Set(names).size, names.length, "an attribute is there twice");
  const annotations = fields.filter(([name]) => name.startsWith("annotation"));
  assert.deepEqual(
    annotations.map(([, value]) => value),
    Object.values(params.annotations),
  );
  const place = new Set(fields.map(([name, value]) => `${name}=${value}`));
  if (source.store.kind === "directory") assert.ok(place.has("type=oci") && place.has(`dest=${work}/stage`));
  else assert.ok(place.has("type=image") && place.has("push=true") && place.has("push-by-digest=true"));
}

function assertConfigured(source: Source, params: PutParams): string {
  const hosts = withMirrors(source.registryAccess.hosts, "docker.io", params.registryMirrors, String);
  const registries = registryBlocks({ hosts }, { hosts: new Map() });
  const texts = { buildkit_config: source.buildkitConfig, buildkit_extra_config: params.buildkitExtraConfig };
  const extra = Object.entries(texts).flatMap(([subject, text]) =>
    text === undefined ? [] : [{ subject, text }],
  );
  const base = { root: `${work}/root`, socket: `${work}/socket`, tracesSocket: `${work}/traces`, registries };
  const toml = daemonConfig({ ...base, entitlements: params.allow, extra: [] });
  const read: Record<string, unknown> = JSON.parse(JSON.stringify(parse(toml)));
  assert.deepEqual(Object.keys(read).toSorted(), [
    "cdi",
    "grpc",
    "insecure-entitlements",
    "otel",
    "registry",
    "root",
    "worker",
  ]);
  assert.deepEqual(read["registry"], Object.fromEntries(registries));
  return daemonConfig({ ...base, entitlements: params.allow, extra });
}
