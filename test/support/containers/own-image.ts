import { createHash } from "node:crypto";
import { access, copyFile, cp, mkdir, readFile, realpath, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { startDockerHub } from "../images/debian.ts";
import { bundledResource } from "../runs/bundled-resource.ts";
import { withLock } from "../runs/lock.ts";
import { runResource, versionOf } from "../runs/resource.ts";
import { checkout, toolEnvironment } from "../runs/test-step.ts";

/** What the image is made from besides the resource itself, as paths of the checkout. */
const ingredients = ["Dockerfile", ".npmrc", "package.json", "package-lock.json"];
const programs = ["buildctl", "buildkitd", "runc", "runsc"];

/**
 * The root filesystem of the resource's own image, kept beside the tools; nobody may write to it. It is made anew when
 * the Dockerfile, a program or a dependency has changed, but not for a change of the resource itself: who uses it puts
 * the checkout's over it ({@link writeResource}).
 */
export async function ownImage(): Promise<string> {
  const cache = join(checkout, ".tools/cache");
  const image = join(cache, `own-image-${await fingerprint()}`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, "own-image.lock"), async () => {
    if (await exists(image)) return;
    const { stdout } = await execa("find", [cache, "-maxdepth", "1", "-name", "own-image-*", "-type", "d"]);
    for (const old of stdout.split("\n").filter(Boolean)) await execa("rm", ["-rf", old]);
    await using work = await createPrivateFolder("test-own", cache);
    await rename(await buildOwnImage(work.path), image);
  });
  return image;
}

async function fingerprint(): Promise<string> {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z", ...ingredients];
  const { stdout } = await execa("git", list, { cwd: checkout });
  const hash = createHash("sha256");
  for (const name of stdout.split("\0").filter(Boolean).toSorted()) {
    if (!(await exists(join(checkout, name)))) continue;
    hash.update(`${name}\0`).update(await readFile(join(checkout, name)));
  }
  for (const program of programs) hash.update(await readFile(await pathOf(program)));
  return hash.digest("hex").slice(0, 16);
}

async function pathOf(program: string): Promise<string> {
  return (await execa("which", [program], { env: toolEnvironment() })).stdout;
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * Builds the image anew, in `folder`, and keeps a copy where there is none yet.
 * @returns the folder of its root filesystem, which is the caller's
 */
export async function freshOwnImage(folder: string): Promise<string> {
  const cache = join(checkout, ".tools/cache");
  const image = join(cache, `own-image-${await fingerprint()}`);
  await mkdir(cache, { recursive: true });
  return withLock(join(cache, "own-image.lock"), async () => {
    const rootfs = await buildOwnImage(folder);
    if (await exists(image)) return rootfs;
    await using work = await createPrivateFolder("test-own", cache);
    await execa("cp", ["-a", rootfs, join(work.path, "rootfs")]);
    await rename(join(work.path, "rootfs"), image);
    return rootfs;
  });
}

/** Writes the resource of this checkout as the image has it: what belongs into `/opt/resource`. */
export async function writeResource(folder: string): Promise<void> {
  await cp(join(checkout, "assets"), folder, { recursive: true });
  await cp(join(await bundledResource(), "dist"), join(folder, "dist"), { recursive: true });
}

/**
 * Builds the resource's own image by puts from the Dockerfile of this checkout, with Debian's base image and with the
 * tools and the Node of this machine, and delivers it by a get.
 * @returns the folder of its root filesystem, somewhere in `folder`
 */
async function buildOwnImage(folder: string): Promise<string> {
  await using hub = await startDockerHub();
  const source = { directory: join(folder, "builds"), registry_mirrors: [hub.url] };
  const inputs = join(folder, "put");
  await copyCheckout(join(inputs, "resource"));
  await copyNode(join(inputs, "bases/node"));
  await mkdir(join(inputs, "bases/tools"));
  for (const tool of programs) await copyFile(await pathOf(tool), join(inputs, "bases/tools", tool));
  await writeFile(join(inputs, "bases/Dockerfile"), bases);
  // The base images, made by puts as well: the tools as the main target, Node's as an additional one.
  const made = await runResource("out", {
    args: [inputs],
    stdin: { source, params: { context: "bases", target: "tools", additional_targets: ["node"] } },
  });
  const { version: basesVersion } = versionOf(made);
  const images = { source, version: basesVersion, params: { output_oci: true } };
  versionOf(await runResource("in", { args: [join(inputs, "images")], stdin: images }));
  const imageArgs = { tools: "images", node: "images/node" };
  const own = await runResource("out", {
    args: [inputs],
    stdin: { source, params: { context: "resource", image_args: imageArgs } },
  });
  const { version } = versionOf(own);
  const params = { unpack_rootfs: true, image_tar: false };
  versionOf(await runResource("in", { args: [join(folder, "image")], stdin: { source, version, params } }));
  return join(folder, "image/rootfs");
}

const bases = `FROM debian:bookworm-slim AS node
COPY node /usr/local
RUN mkdir -p /etc/ssl/certs && cp /usr/local/etc/ca-certificates.crt /etc/ssl/certs/ && \\
  ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
FROM scratch AS tools
COPY tools /usr/local/bin
`;

/** The files that git tracks, and new ones it would: what a clone has. */
async function copyCheckout(to: string): Promise<void> {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const { stdout } = await execa("git", list, { cwd: checkout });
  for (const name of stdout.split("\0").filter(Boolean)) {
    if (!(await exists(join(checkout, name)))) continue;
    await mkdir(dirname(join(to, name)), { recursive: true });
    await copyFile(join(checkout, name), join(to, name));
  }
}

/** What a Debian image lacks of Node's: the program and npm, which fetches as it does on this machine. */
async function copyNode(to: string): Promise<void> {
  await mkdir(join(to, "lib/node_modules"), { recursive: true });
  await mkdir(join(to, "etc"), { recursive: true });
  await mkdir(join(to, "bin"), { recursive: true });
  await copyFile(process.execPath, join(to, "bin/node"));
  const folder = dirname(dirname(await realpath(await pathOf("npm"))));
  await cp(folder, join(to, "lib/node_modules/npm"), { recursive: true });
  const { stdout: registry } = await execa("npm", ["config", "get", "registry"], { cwd: "/" });
  await writeFile(join(to, "etc/npmrc"), `registry=${registry}\ncafile=/etc/ssl/certs/ca-certificates.crt\n`);
  await copyFile("/etc/ssl/certs/ca-certificates.crt", join(to, "etc/ca-certificates.crt"));
}
