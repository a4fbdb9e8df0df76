import assert from "node:assert/strict";
import { test } from "node:test";
import type { Inputs } from "../../../src/builder/inputs/inputs.ts";
import type { BuildOptions } from "../../../src/builder/plan/build-options.ts";
import { buildctlArguments } from "../../../src/builder/plan/buildctl-arguments.ts";
import { planBuild } from "../../../src/builder/plan/plan.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { parsePlatform } from "../../../src/image/platform.ts";
import { isTargetName } from "../../../src/image/target-name.ts";

const options: BuildOptions = {
  context: "repo",
  dockerfile: undefined,
  dockerfileInline: undefined,
  buildArgs: {},
  buildArgsFile: undefined,
  labels: {},
  labelsFile: undefined,
  gitLabels: false,
  version: undefined,
  target: undefined,
  targetFile: undefined,
  additionalTargets: [],
  imageArgs: {},
  contexts: {},
  platforms: [],
  secrets: {},
  ssh: {},
  addHosts: {},
  registryMirrors: [],
  buildkitExtraConfig: undefined,
  noCache: false,
  pull: false,
  network: "default",
  shmSize: undefined,
  ulimits: {},
  allow: [],
  annotations: {},
  provenance: false,
  sbom: false,
  compression: undefined,
  sourceDateEpoch: undefined,
  failOnWarnings: false,
  sourcePolicy: undefined,
  frontendOptions: {},
  expand: false,
  progress: "steps",
};

const inputs: Inputs = {
  context: { kind: "folder", path: "/put/repo" },
  dockerfile: {
    folder: "/put/repo/docker",
    name: "App.Dockerfile",
    shown: "repo/docker/App.Dockerfile",
    text: "",
  },
  gitDockerfile: undefined,
  buildArgs: {},
  labels: {},
  target: undefined,
  imageArgs: [],
  contexts: [],
  secrets: [],
  policyFile: undefined,
  ssh: [],
};

function optionsOf(more: Partial<BuildOptions>, moreInputs: Partial<Inputs> = {}): Record<string, string> {
  const plan = planBuild({ ...options, ...more }, { ...inputs, ...moreInputs });
  return Object.fromEntries(plan[0].options);
}

test("a plain build sends its context and its Dockerfile's folder, and asks for nothing else", () => {
  const [solve] = planBuild(options, inputs);
  assert.deepEqual(Object.fromEntries(solve.locals), {
    context: "/put/repo",
    dockerfile: "/put/repo/docker",
  });
  assert.deepEqual(Object.fromEntries(solve.options), { filename: "App.Dockerfile" });
  assert.equal(solve.target, "");
});

test("build args and labels keep commas, equals signs and line breaks", () => {
  const buildArgs = { LIST: "a,b", URL: "https://x.example/?a=b", LINES: "one\ntwo" };
  assert.deepEqual(optionsOf({}, { buildArgs, labels: { "org.example.note": "x=y,z" } }), {
    filename: "App.Dockerfile",
    "build-arg:LIST": "a,b",
    "build-arg:URL": "https://x.example/?a=b",
    "build-arg:LINES": "one\ntwo",
    "label:org.example.note": "x=y,z",
  });
});

test("additional targets get every option of the main target", () => {
  const plan = planBuild(
    {
      ...options,
      additionalTargets: ["test", "debug"].filter(isTargetName),
      platforms: [parsePlatform("arm64", "test")],
      addHosts: { db: ["10.0.0.1"] },
      allow: ["network.host"],
    },
    {
      ...inputs,
      target: "app",
      labels: { a: "b" },
      secrets: [{ id: "npmrc", file: "/put/npmrc" }],
      ssh: [{ id: "git", paths: ["/a", "/b"] }],
    },
  );
  assert.deepEqual(
    plan.map(({ target }) => target),
    ["app", "test", "debug"],
  );
  const [main, ...others] = plan;
  for (const other of others) {
    assert.deepEqual(new Map([...other.options, ["target", "app"]]), main.options);
    assert.deepEqual({ ...other, target: "", options: "" }, { ...main, target: "", options: "" });
  }
});

test("an image arg becomes a named context under a valid reference, unique where two names fold to one", () => {
  const digest = digestOf(Buffer.from("x"));
  const image = (name: string) => ({ name, layout: `/layouts/${name}`, digest });
  const [solve] = planBuild(options, {
    ...inputs,
    imageArgs: ["base_image", "BASE_IMAGE", "__x"].map(image),
  });
  assert.deepEqual(Object.fromEntries([...solve.options].filter(([name]) => name !== "filename")), {
    "build-arg:base_image": "image-arg/base_image",
    "context:image-arg/base_image": `oci-layout://image-0@${digest}`,
    "build-arg:BASE_IMAGE": "image-arg/base_image_2",
    "context:image-arg/base_image_2": `oci-layout://image-1@${digest}`,
    "build-arg:__x": "image-arg/x",
    "context:image-arg/x": `oci-layout://image-2@${digest}`,
  });
  assert.deepEqual(Object.fromEntries(solve.layouts), {
    "image-0": "/layouts/base_image",
    "image-1": "/layouts/BASE_IMAGE",
    "image-2": "/layouts/__x",
  });
});

/** The frontend that gives way to BuildKit's own, by a Dockerfile that begins with the line. */
function replacedBy(line: string, more: Partial<Inputs> = {}): string | undefined {
  const imageArgs = [{ name: "base", layout: "/work/base", digest: digestOf(Buffer.from("base")) }];
  const dockerfile = {
    folder: "/put/repo",
    name: "Dockerfile",
    shown: "Dockerfile",
    text: `${line}\nFROM $base\n`,
  };
  const [solve] = planBuild(options, { ...inputs, imageArgs, dockerfile, ...more });
  return solve.options.get("cmdline");
}

test("a frontend too old for images of the inputs gives way to BuildKit's own, and no other does", () => {
  const pinned = `docker/dockerfile:1.4.3@${digestOf(Buffer.from("x"))}`;
  for (const old of ["docker/dockerfile:1.4", "docker.io/docker/dockerfile:1.0-experimental", pinned]) {
    assert.equal(replacedBy(`# syntax=${old}`), old);
    assert.equal(replacedBy(`# syntax = ${old}`, { imageArgs: [] }), undefined);
  }
  for (const other of [
    "docker/dockerfile:1",
    "docker/dockerfile:1.5",
    "docker/dockerfile:1.10",
    "example/fe:1.4",
  ])
    assert.equal(replacedBy(`# syntax=${other}`), undefined, other);
  assert.equal(replacedBy("# a comment\n# syntax=docker/dockerfile:1.4"), undefined);
  const buildArgs = { BUILDKIT_SYNTAX: "docker/dockerfile:1.2" };
  assert.equal(replacedBy("# syntax=docker/dockerfile:1", { buildArgs }), "docker/dockerfile:1.2");
});

test("a git context is the daemon's to fetch; a Dockerfile of the inputs still counts", () => {
  const context = { kind: "git", url: "https://git.example/app.git#main:docker" } as const;
  assert.deepEqual(optionsOf({}, { context, dockerfile: undefined, gitDockerfile: "Dockerfile.prod" }), {
    context: context.url,
    filename: "Dockerfile.prod",
  });
  assert.deepEqual(optionsOf({}, { context }), {
    context: context.url,
    dockerfilekey: "dockerfile",
    filename: "App.Dockerfile",
  });
});

test("each option beyond the Dockerfile reaches the frontend under BuildKit's name", () => {
  const given = optionsOf({
    platforms: ["linux/amd64", "windows(10.0.17763)/amd64"].map((name) => parsePlatform(name, "test")),
    addHosts: { db: ["10.0.0.1", "fd00::1"], cache: ["10.0.0.2"] },
    noCache: ["build", "test"],
    pull: true,
    network: "none",
    shmSize: 67108864,
    ulimits: { nofile: "1024:2048" },
    provenance: "max",
    sbom: true,
    sourceDateEpoch: 0,
    failOnWarnings: true,
  });
  assert.deepEqual(given, {
    filename: "App.Dockerfile",
    platform: "linux/amd64,windows(10.0.17763)/amd64",
    "add-hosts": "db=10.0.0.1,db=fd00::1,cache=10.0.0.2",
    "no-cache": "build,test",
    "image-resolve-mode": "pull",
    "force-network-mode": "none",
    "shm-size": "67108864",
    ulimit: "nofile=1024:2048",
    "attest:provenance": "mode=max",
    "attest:sbom": "",
    "build-arg:SOURCE_DATE_EPOCH": "0",
    "build-arg:BUILDKIT_DOCKERFILE_CHECK": "error=true",
  });
  assert.equal(optionsOf({ noCache: true })["no-cache"], "");
});

/** A run of buildctl without caches and certificates. */
const bareRun = { metadataFile: "/m", importCaches: [], exportCaches: [], authTls: [] } as const;

test("values can't add fields to buildctl's CSV arguments", () => {
  const [solve] = planBuild(
    { ...options, annotations: { "org.example.note": 'a,push=true,"x"' } },
    { ...inputs, secrets: [{ id: "x", file: "/put/a,id=y" }] },
  );
  const args = buildctlArguments({ ...bareRun, solve, exporter: { kind: "layout", folder: "/stage/a,b" } });
  assert.equal(
    args.at(-1),
    'type=oci,tar=false,"dest=/stage/a,b",oci-mediatypes=true,"annotation.org.example.note=a,push=true,""x"""',
  );
  assert.ok(args.includes('id=x,"src=/put/a,id=y"'));
});

test("a push goes out by digest, without a tag", () => {
  const [solve] = planBuild(options, inputs);
  const args = buildctlArguments({
    ...bareRun,
    solve,
    exporter: {
      kind: "push",
      destinations: [{ repository: { host: "127.0.0.1:5000", path: "app" }, insecure: true }],
    },
  });
  assert.equal(
    args.at(-1),
    "type=image,name=127.0.0.1:5000/app,push=true,push-by-digest=true,name-canonical=true,registry.insecure=true,oci-mediatypes=true",
  );
});
