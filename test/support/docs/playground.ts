import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import {
  busyboxLayer,
  type Entry,
  type ImageRecipe,
  nativePlatform,
  pushLayout,
  writeLayout,
} from "../images/image-writer.ts";
import { type Run, runResource, versionOf } from "../runs/resource.ts";
import { startBuildkitd } from "../servers/buildkit.ts";
import { createAuthority } from "../servers/certificates.ts";
import { makeRepository, startGitServer } from "../servers/git-server.ts";
import { startRegistry } from "../servers/registry.ts";
import { type Fields, type Pipeline, pipelineOf } from "./pipelines.ts";

/** A place where what the docs show can be run: a registry, a daemon, a git server, base images and inputs. */
export interface Playground extends AsyncDisposable {
  /**
   * Runs the puts, gets and tasks that a block of YAML has for this resource, each job in inputs of its own, with the
   * playground's hosts, and with values in place of `((vars))`.
   * @param dockerfile what the section shows as its Dockerfile; by default one that takes whatever the pages give
   */
  run(where: string, block: unknown, dockerfile: string | undefined): Promise<Ran>;
}

interface Ran {
  readonly puts: number;
  readonly tasks: number;
}

/** Takes every build arg, secret and key that the pages name, and has every stage. */
const anyDockerfile = `ARG base=alpine:3.22
FROM \${base} AS tests
ARG VERSION
ARG DEBUG
RUN echo "tested $VERSION $DEBUG" > /tested
FROM \${base} AS app
ARG VERSION
ARG DEBUG
ARG BASE
COPY web /usr/bin/web
RUN echo "$VERSION $DEBUG" > /version
RUN --mount=type=secret,id=npm_token --mount=type=secret,id=.npmrc --mount=type=ssh --mount=type=ssh,id=github true
FROM app AS production
`;

/** Stand-ins for images of Docker Hub and others: busybox, and what stands in for the programs that pages run. */
const baseImages: Readonly<Record<string, readonly Entry[]>> = {
  "library/alpine:3.22": [],
  "library/golang:1.26": [
    program(
      "usr/bin/go",
      'while [ $# -gt 0 ]; do [ "$1" = -o ] && out=$2; shift; done; echo "$GOOS/$GOARCH" > "$out"',
    ),
  ],
  "library/node:24": [program("usr/bin/npm", 'test -n "$NPM_TOKEN" || grep -q token /root/.npmrc')],
  "library/docker:29-cli": [program("usr/local/bin/docker", "true")],
  "kubectl:v1.34.2": [program("bin/kubectl", "true")],
  "shop/base:1": [],
  "base/alpine:3.22": [],
  "oci-build-resource:latest": [],
};

function program(name: string, script: string): Entry {
  return { name, mode: 0o755, content: `#!/bin/sh\n${script}\n` };
}

export async function openPlayground(): Promise<Playground> {
  await using held = new AsyncDisposableStack();
  const { path: folder } = held.use(await createPrivateFolder("test-docs"));
  const registry = held.use(await startRegistry());
  // One registry, by two names.
  const mirror = registry.host.replace("127.0.0.1", "localhost");
  const digests = await pushBases(folder, registry.host);
  const git = held.use(await serveGit(folder));
  const authority = held.use(await createAuthority());
  const inputs = join(folder, "inputs");
  const key = await makeInputs(inputs, join(folder, "base-kubectl-v1.34.2"));
  const mirrors = ["docker.io", "registry.k8s.io"].map(
    (host) => `[registry."${host}"]\n  mirrors = ["${registry.host}"]\n`,
  );
  const plain = [registry.host, mirror].map((host) => `[registry."${host}"]\n  http = true\n`);
  const daemon = held.use(await startBuildkitd({ config: [...mirrors, ...plain].join("") }));
  const vars: Readonly<Record<string, string>> = {
    "git.private_key": key,
    "registry.ca": await readFile(authority.ca, "utf8"),
    "git.token": "token",
    ".:base-digest": digests.get("shop/base:1") ?? "",
    ".:version": "1.4.0",
    ".:tag": "nightly",
  };
  const source = (given: Fields): Fields => ({
    ...Object.fromEntries(Object.entries(given).filter(([name]) => name !== "nodes" && name !== "buildkit")),
    registries: { [mirror]: { insecure: true } },
    insecure: true,
    // The step's own BuildKit asks the mirrors that the source names; the daemon asks its own.
    ...("registry_mirrors" in given ? {} : { buildkit: { address: daemon.address } }),
  });
  let runs = 0;
  const named = (text: string) =>
    text
      .replaceAll(/https:\/\/ci:(\S+?)@git\.example\.com/g, `http://ci:$1@${git.host}`)
      .replaceAll(/https:\/\/mirror\.example\.com/g, `http://${mirror}`)
      .replaceAll(/\bregistry\.example(\.com)?(?=[/:"'\s]|$)/gm, registry.host)
      .replaceAll(/\bmirror\.example(\.com)?(?=[/:"'\s]|$)/gm, mirror)
      // The digest that pages show is nobody's.
      .replaceAll(/sha256:(0123456789abcdef){4}/g, digests.get("base/alpine:3.22") ?? "")
      .replaceAll(/\(\(([^()]+)\)\)/g, (_, name: string) =>
        JSON.stringify(vars[name] ?? "token").slice(1, -1),
      );
  const owned = held.move();
  return {
    run: async (where, block, dockerfile) => {
      const pipeline = JSON.parse(named(JSON.stringify(pipelineOf(block)))) as Pipeline;
      const ours = new Map<unknown, Fields>();
      for (const { name, type, source: given } of pipeline.resources)
        if (type === "oci-build") ours.set(name, source(given as Fields));
      const ran = { puts: 0, tasks: 0 };
      for (const job of pipeline.jobs ?? []) {
        const own = join(folder, `run-${runs++}`);
        await cp(inputs, own, { recursive: true });
        for (const name of ["source", "repo"])
          await writeFile(join(own, name, "Dockerfile"), named(dockerfile ?? anyDockerfile));
        const plan = job["plan"] as readonly Fields[];
        for (const [index, step] of plan.entries()) {
          const { put, get, task } = step;
          const resource = ours.get(step["resource"] ?? put ?? get);
          if (task !== undefined && isOurs(step)) {
            await runTask(where, step, { cwd: own, mirror: `http://${registry.host}` });
            ran.tasks++;
          }
          if (resource === undefined) continue;
          // A get of what another job has put.
          const made = await runPut(where, put === undefined ? defaultPut : step, { source: resource, own });
          if (put !== undefined) ran.puts++;
          // Nothing is delivered to nobody: that takes time, and says nothing of what the page shows.
          if (put !== undefined && index === plan.length - 1 && !("get_params" in step)) continue;
          const params = put === undefined ? step["params"] : step["get_params"];
          const to = join(own, String(put ?? get));
          await rm(to, { recursive: true, force: true });
          const request = { source: resource, version: made, params };
          const got = await runResource("in", { args: [to], stdin: request, env: { NO_COLOR: "1" } });
          assert.equal(got.status, 0, `${where}: get: ${got.output}`);
        }
      }
      return ran;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const defaultPut: Fields = { params: { context: "source" } };

function isOurs({ config }: Fields): boolean {
  return JSON.stringify(config ?? {}).includes("oci-build-resource");
}

async function runPut(
  where: string,
  { params = {} }: Fields,
  { source, own }: { readonly source: Fields; readonly own: string },
): Promise<{ readonly digest: string }> {
  const run = await runResource("out", { args: [own], stdin: { source, params }, env: { NO_COLOR: "1" } });
  assertClean(`${where}: put`, run);
  return versionOf(run).version;
}

async function runTask(
  where: string,
  { config }: Fields,
  { cwd, mirror }: { readonly cwd: string; readonly mirror: string },
): Promise<void> {
  const { params = {}, outputs = [] } = config as { params?: Fields; outputs?: { name: string }[] };
  // Concourse makes JSON of whatever isn't text.
  const texts = Object.entries(params).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const env = { NO_COLOR: "1", REGISTRY_MIRRORS: mirror, ...Object.fromEntries(texts) };
  const names = outputs.map(({ name }) => name);
  const run = await runResource("build", { cwd, env, outputs: names.length > 0 ? names : ["image"] });
  assertClean(`${where}: task`, run);
}

/**
 * It succeeded, and had nothing to warn of. That the registry didn't see a blob yet, which the image and the layer cache
 * pushed at the same time, is no matter of what the page shows: the push is retried.
 */
function assertClean(what: string, { status, stderr }: Run): void {
  assert.equal(status, 0, `${what}: ${stderr}`);
  assert.doesNotMatch(stderr, /^warning: (?!failed to push)/m, what);
}

/** Pushes the base images, for two platforms each. Answers the digests of their indexes. */
async function pushBases(folder: string, host: string): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  const system = await busyboxLayer();
  for (const [name, more] of Object.entries(baseImages)) {
    const layers = [system, ...(more.length > 0 ? [more] : [])];
    const recipes = ["amd64", "arm64"].map(
      (architecture): ImageRecipe => ({ layers, platform: { os: "linux", architecture } }),
    );
    const layout = join(folder, `base-${name.replaceAll(/[/:]/g, "-")}`);
    const { descriptor } = await writeLayout(layout, ...recipes);
    await pushLayout(layout, `${host}/${name}`);
    digests.set(name, descriptor.digest);
  }
  return digests;
}

async function serveGit(folder: string): ReturnType<typeof startGitServer> {
  const repository = join(folder, "git/shop/web.git");
  await mkdir(repository, { recursive: true });
  await writeFile(join(repository, "Dockerfile"), "FROM alpine:3.22\nCOPY . /web\n");
  await makeRepository(repository);
  return startGitServer(join(folder, "git"), { user: "ci", password: "token" });
}

/**
 * The inputs that the pages name. Answers the private key among them.
 * @param base an image layout of several platforms
 */
async function makeInputs(inputs: string, base: string): Promise<string> {
  const source = {
    web: "#!/bin/sh\necho web\n",
    "base.Dockerfile": "FROM alpine:3.22\nRUN echo base > /base\n",
    "alpine.Dockerfile": anyDockerfile,
    "build/Dockerfile": anyDockerfile,
    "docker/Dockerfile": anyDockerfile,
    "package.json": "{}",
    "args.json": '{"DEBUG": "no"}',
    version: "1.4.0",
    ".git/short_ref": "1a2b3c4\n",
  };
  const files = Object.entries({
    ...Object.fromEntries(Object.entries(source).map(([name, text]) => [`source/${name}`, text])),
    ...Object.fromEntries(Object.entries(source).map(([name, text]) => [`repo/${name}`, text])),
    "naming/branch": "main",
    "naming/tag": "nightly",
    "version/number": "1.4.0",
    "assets/logo.svg": "<svg/>",
    "credentials/npmrc": "//npm.example/:_authToken=token\n",
    "docker-config/config.json": "{}",
    "build_args.yml": "DEBUG: no\n",
    "settings/args.env": "VERSION=1.10\n",
    "settings/labels.yml": "team: shop\n",
    // A task whose input lies in its folder itself.
    Dockerfile: anyDockerfile,
    web: source.web,
  });
  for (const [name, text] of files) {
    await mkdir(join(inputs, name, ".."), { recursive: true });
    await writeFile(join(inputs, name), text);
  }
  await makeRepository(join(inputs, "source"));
  await mkdir(join(inputs, "keys"));
  const key = join(inputs, "keys/id_ed25519");
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  await cp(key, join(inputs, "credentials/id_ed25519"));
  // As a get of the registry-image resource delivers it, with `format: oci`.
  await mkdir(join(inputs, "base"));
  const platform = ["--override-arch", nativePlatform.architecture];
  await execa("skopeo", [
    ...platform,
    "copy",
    `oci:${base}`,
    `docker-archive:${join(inputs, "base/image.tar")}:base:1`,
  ]);
  return readFile(key, "utf8");
}
