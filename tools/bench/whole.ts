import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { toolEnvironment } from "../../test/support/runs/test-step.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import { type Registry, startRegistry } from "../../test/support/servers/registry.ts";
import { type Bundle, peerBundle, peerCommit } from "./bundle.ts";
import { onTmpfs } from "./disk.ts";
import { benchImage, type Compression, mixedBytes } from "./images.ts";
import { compare, inTurn, type Result, timed } from "./measure.ts";
import { peerPrograms } from "./peer-programs.ts";

/** On a base of 315 MB in seven layers, 32 MB from the context, and a step that writes 250 MB of programs and texts. */
const dockerfile = (base: string) => `FROM ${base}
COPY data /data
RUN mkdir /copy && cp -a /usr/lib/gcc /usr/share/go-1.19 /usr/lib/python3.11 /copy
`;
const copied = 32 << 20;

/** What all contenders have: a registry with the base image, and a put's folder. */
interface Site {
  readonly registry: Registry;
  /** In memory; holds the registry's files too. */
  readonly folder: string;
  readonly inputs: string;
  /** A repository that the registry doesn't have yet. */
  readonly newRepository: () => string;
}

/**
 * A put whose daemon is its own and new, and the get of the root filesystem that it stored, everything in memory:
 * against the same of {@link peerCommit} with the BuildKit that it had, and against `buildctl` with a daemon that runs already,
 * skopeo and umoci. Peers compress with gzip, the default, whatever ours does.
 */
export async function benchWhole(
  bundle: Bundle,
  { compression, rounds }: { readonly compression: Compression; readonly rounds: number },
): Promise<Result> {
  await using peer = await peerBundle(peerCommit);
  const env = { PATH: `${await peerPrograms()}:${toolEnvironment()["PATH"]}` };
  const { folder: base } = await benchImage("debian");
  return await onTmpfs(async (folder) => {
    await using registry = await startRegistry({ folder: join(folder, "registry") });
    const inputs = join(folder, "put");
    const app = join(inputs, "app");
    await mkdir(app, { recursive: true });
    const image = `${registry.host}/base:latest`;
    await execa("skopeo", ["copy", "--dest-tls-verify=false", `oci:${base}:gzip`, `docker://${image}`]);
    await writeFile(join(app, "Dockerfile"), dockerfile(image));
    await writeFile(join(app, "data"), mixedBytes(0, copied));
    let builds = 0;
    const site = { registry, folder, inputs, newRepository: () => `${registry.host}/build-${builds++}` };
    const params = { context: "app", ...(compression === "gzip" ? {} : { compression }) };
    const ours = (name: string, versions?: "put") => ({
      name,
      run: () => putAndGet(site, bundle, { name, params, env: {}, versions }),
    });
    return await compare(`put and get of a rootfs, ${compression}`, rounds, [
      ours("ours"),
      ours("versions: put", "put"),
      {
        name: peerCommit,
        run: () => putAndGet(site, peer, { name: peerCommit, params: { context: "app" }, env }),
      },
      { name: "buildctl, skopeo, umoci", run: () => withOtherTools(site, env) },
    ]);
  });
}

interface HowToPut {
  readonly name: string;
  readonly params: unknown;
  readonly env: Readonly<Record<string, string>>;
  /** With `put` the version vouches for the layers. */
  readonly versions?: "put" | undefined;
}

async function putAndGet(
  { folder, inputs, newRepository }: Site,
  bundle: Bundle,
  { name, params, env, versions }: HowToPut,
) {
  const source = { repository: newRepository(), insecure: true, versions };
  const request = JSON.stringify({ source, params });
  // The daemon's state is in /var/lib where there is no /scratch.
  const inMemory = ["--mount", "sh", "-c", 'mount -t tmpfs tmpfs /var/lib && exec "$@"', "sh"];
  const put = await timed("unshare", [...inMemory, bundle.out, inputs], { input: request, env });
  const { version } = JSON.parse(put.stdout) as { version: unknown };
  const to = join(folder, "got");
  const input = JSON.stringify({ source, version, params: { unpack_rootfs: true, image_tar: false } });
  const get = await timed(bundle.in, [to], { input, env });
  await rm(to, { recursive: true });
  console.error(`${name}: put ${put.seconds.toFixed(1)} s, get ${get.seconds.toFixed(1)} s`);
  return inTurn(put, get);
}

async function withOtherTools(
  { folder, inputs, newRepository }: Site,
  env: Readonly<Record<string, string>>,
) {
  const work = join(folder, "other");
  const image = `${newRepository()}:latest`;
  const app = join(inputs, "app");
  const host = image.slice(0, image.indexOf("/"));
  const config = `[registry."${host}"]\n  http = true\n`;
  await mkdir(work);
  const daemon = await startBuildkitd({ root: join(work, "root"), config, env });
  const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
  const output = `type=image,name=${image},push=true,registry.insecure=true,oci-mediatypes=true`;
  const build = ["--addr", daemon.address, "build", "--frontend=dockerfile.v0", ...locals];
  const built = await timed("buildctl", [...build, "--output", output], { env });
  await daemon[Symbol.asyncDispose]();
  const layout = `${join(work, "layout")}:image`;
  const fetched = await timed("skopeo", [
    "copy",
    "--src-tls-verify=false",
    `docker://${image}`,
    `oci:${layout}`,
  ]);
  const unpacked = await timed("umoci", ["unpack", "--image", layout, join(work, "bundle")]);
  await rm(work, { recursive: true });
  return inTurn(built, fetched, unpacked);
}
