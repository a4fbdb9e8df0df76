import { copyFile, cp, mkdir, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { debianLayout } from "../../test/support/images/debian.ts";
import { pushLayout } from "../../test/support/images/image-writer.ts";
import { checkout, toolEnvironment } from "../../test/support/runs/test-step.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import { startRegistry } from "../../test/support/servers/registry.ts";
import type { Bundle } from "./bundle.ts";
import { compare, type Result, timed } from "./measure.ts";
import { startSlowProxy } from "./slow-proxy.ts";

/** Package managers and compilers whose caches are mounts. */
export const mountKinds = ["npm", "go", "apt"] as const;
export type MountKind = (typeof mountKinds)[number];

/** After `FROM` a Debian with the tools of that kind: what is built when a source file has changed. */
export const dockerfiles: Readonly<Record<MountKind, string>> = {
  npm: `WORKDIR /app
COPY . .
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --prefer-offline --no-audit --no-fund
`,
  go: `WORKDIR /app
ENV CGO_ENABLED=0
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build --mount=type=cache,target=/root/go/pkg/mod \\
    go build -o /regctl github.com/regclient/regclient/cmd/regctl
`,
  apt: `RUN rm -f /etc/apt/apt.conf.d/docker-clean
COPY source /source
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\
    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make git
`,
};

/**
 * A put with a layer cache whose source file has changed, on a fresh daemon, with the content of cache mounts kept,
 * against the same without. Packages come from where this machine's package managers get them, as fast as they come or, if
 * `rate` is given, through a proxy that lets through so many bytes a second. The registry with the saved content is always
 * on this machine.
 */
export async function benchCacheMounts(
  { out }: Bundle,
  { kind, rate, rounds }: { readonly kind: MountKind; readonly rate?: number; readonly rounds: number },
): Promise<Result> {
  await using held = new AsyncDisposableStack();
  const proxy = rate === undefined ? undefined : held.use(await startSlowProxy(rate));
  const proxies = proxy === undefined ? {} : { http_proxy: proxy.url, https_proxy: proxy.url };
  await using folder = await createPrivateFolder("bench-mounts");
  await using registry = await startRegistry();
  const base = `${registry.host}/base`;
  await makeBase(folder.path, { kind, base, debian: `${registry.host}/debian` });
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), `FROM ${base}\n${dockerfiles[kind]}`);
  const sources = {
    npm: ["package.json", "package-lock.json"],
    go: ["tools/go.mod", "tools/go.sum"],
    apt: [],
  };
  for (const name of sources[kind])
    await copyFile(join(checkout, name), join(app, name.replace("tools/", "")));
  let count = 0;
  const put = (name: string, cache: object) => ({
    name,
    run: async () => {
      await writeFile(join(app, "source"), String(count++));
      const source = { repository: `${registry.host}/${name}`, insecure: true, cache };
      const input = JSON.stringify({ source, params: { context: "app", build_args: proxies } });
      return timed(out, [join(folder.path, "put")], { input });
    },
  });
  const [ours, peer] = [put("with-mounts", { mounts: { limit: "8g" } }), put("without", { mounts: false })];
  const speed = rate === undefined ? "" : `, packages at ${rate / 1e6} MB/s`;
  return await compare(`second build, a source file changed: ${kind}${speed}`, rounds, [ours, peer]);
}

/** Pushes a Debian with what the kind needs of this machine: Go, or Node.js and npm, and their settings. */
export async function makeBase(
  folder: string,
  { kind, base, debian }: { kind: MountKind; base: string; debian: string },
): Promise<void> {
  await pushLayout(await debianLayout(), debian);
  await using daemon = await startBuildkitd();
  const context = join(folder, "base");
  await mkdir(context, { recursive: true });
  await copyFile("/etc/ssl/certs/ca-certificates.crt", join(context, "ca.crt"));
  const instructions = await makeTools[kind](context);
  await writeFile(
    join(context, "Dockerfile"),
    `FROM ${debian}\nCOPY ca.crt /etc/ssl/certs/ca-certificates.crt\n${instructions}`,
  );
  const locals = [`--local=context=${context}`, `--local=dockerfile=${context}`];
  const output = `--output=type=image,name=${base},push=true,registry.insecure=true`;
  await execa(
    "buildctl",
    ["--addr", daemon.address, "build", "--frontend=dockerfile.v0", ...locals, output],
    { env: toolEnvironment() },
  );
}

/** Copies a kind's tools into the context of its base image, and answers the instructions that add them. */
const makeTools: Readonly<Record<MountKind, (context: string) => Promise<string>>> = {
  async npm(context) {
    const npm = dirname(dirname(await realpath((await execa("which", ["npm"])).stdout)));
    await cp(npm, join(context, "npm"), { recursive: true, verbatimSymlinks: true });
    await copyFile(join(checkout, "node_modules/node/bin/node"), join(context, "node"));
    await writeFile(join(context, "npmrc"), await npmSettings());
    return `COPY npm /usr/local/lib/npm
COPY node /usr/local/bin/node
COPY npmrc /root/.npmrc
RUN printf '#!/bin/sh\\nexec node /usr/local/lib/npm/bin/npm-cli.js "$@"\\n' > /usr/local/bin/npm && chmod +x /usr/local/bin/npm
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
`;
  },
  async go(context) {
    const { stdout: goroot } = await execa("go", ["env", "GOROOT"]);
    const { stdout: proxy } = await execa("go", ["env", "GOPROXY"]);
    await cp(goroot, join(context, "go"), { recursive: true, verbatimSymlinks: true });
    return `COPY go /usr/local/go
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPROXY=${proxy} GOFLAGS=-mod=mod GONOSUMDB=* GOTOOLCHAIN=local
`;
  },
  async apt() {
    return "";
  },
};

async function npmSettings(): Promise<string> {
  const { stdout } = await execa("npm", ["config", "get", "registry"]);
  return `registry=${stdout.trim()}\n`;
}
