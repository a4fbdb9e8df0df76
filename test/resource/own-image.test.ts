import assert from "node:assert/strict";
import { copyFile, cp, mkdir, readFile, realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";
import { checkout, toolEnvironment } from "../support/runs/test-step.ts";

/** The files that git tracks, and new ones it would: what a clone has. */
async function copyCheckout(to: string): Promise<void> {
  const list = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const { stdout } = await execa("git", list, { cwd: checkout });
  for (const name of stdout.split("\0").filter(Boolean)) {
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
  const { stdout: npm } = await execa("which", ["npm"], { env: toolEnvironment() });
  const folder = dirname(dirname(await realpath(npm)));
  await cp(folder, join(to, "lib/node_modules/npm"), { recursive: true });
  const { stdout: registry } = await execa("npm", ["config", "get", "registry"], { cwd: "/" });
  await writeFile(join(to, "etc/npmrc"), `registry=${registry}\ncafile=/etc/ssl/certs/ca-certificates.crt\n`);
  await copyFile("/etc/ssl/certs/ca-certificates.crt", join(to, "etc/ca-certificates.crt"));
}

const bases = `FROM debian:bookworm-slim AS node
COPY node /usr/local
RUN mkdir -p /etc/ssl/certs && cp /usr/local/etc/ca-certificates.crt /etc/ssl/certs/ && \\
  ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
FROM scratch AS tools
COPY tools /usr/local/bin
`;

test("the resource builds its own image, which builds images in turn", async () => {
  await using folder = await createPrivateFolder("test-own");
  await using hub = await startDockerHub();
  const source = { directory: join(folder.path, "builds"), registry_mirrors: [hub.url] };
  const inputs = join(folder.path, "put");
  await copyCheckout(join(inputs, "resource"));
  await copyNode(join(inputs, "bases/node"));
  await mkdir(join(inputs, "bases/tools"));
  for (const tool of ["buildctl", "buildkitd"]) {
    const { stdout: path } = await execa("which", [tool], { env: toolEnvironment() });
    await copyFile(path, join(inputs, "bases/tools", tool));
  }
  await writeFile(join(inputs, "bases/Dockerfile"), bases);

  // The base images, made by puts as well: the tools as the main target, Node's as an additional one.
  const made = await runResource("out", {
    args: [inputs],
    stdin: { source, params: { context: "bases", target: "tools", additional_targets: ["node"] } },
  });
  const { version: basesVersion } = versionOf(made);
  const got = await runResource("in", {
    args: [join(inputs, "images")],
    stdin: { source, version: basesVersion, params: { output_oci: true } },
  });
  versionOf(got);

  const own = await runResource("out", {
    args: [inputs],
    stdin: {
      source,
      params: { context: "resource", image_args: { tools: "images", node: "images/node" } },
    },
  });
  const { version } = versionOf(own);
  const image = join(folder.path, "image");
  const params = { unpack_rootfs: true, image_tar: false };
  versionOf(await runResource("in", { args: [image], stdin: { source, version, params } }));

  const { stdout: raising } = await execa("find", [join(image, "rootfs"), "-type", "f", "-perm", "/6000"]);
  assert.equal(raising, "", "programs that raise who runs them");

  // In a container as Concourse would make it: namespaces of its own, /proc, /dev, /sys, and a folder of inputs.
  const rootfs = join(image, "rootfs");
  const app = join(rootfs, "tmp/build/put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  await mkdir(join(rootfs, "scratch"));
  const script = `mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && mount --rbind /sys "$0/sys" &&
    mount -t tmpfs tmpfs "$0/scratch" && exec chroot "$0" "$@"`;
  const inImage = async (args: readonly string[], request: unknown): Promise<unknown> => {
    const namespaces = ["--mount", "--pid", "--fork", "--kill-child=KILL"];
    const { stdout } = await execa("unshare", [...namespaces, "sh", "-c", script, rootfs, ...args], {
      input: JSON.stringify(request),
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root" },
      extendEnv: false,
    });
    return stdout === "" ? undefined : JSON.parse(stdout);
  };
  const request = { source: { directory: "/tmp/builds" }, version: null };
  assert.deepEqual(await inImage(["/opt/resource/check"], request), []);
  const response = await inImage(["/opt/resource/out", "/tmp/build/put"], {
    source: { directory: "/tmp/builds" },
    params: { context: "app" },
  });
  const { version: inner } = response as { version: { digest: string } };
  await inImage(["/opt/resource/in", "/tmp/build/get"], {
    source: { directory: "/tmp/builds" },
    version: inner,
  });
  assert.equal(await readFile(join(rootfs, "tmp/build/get/digest"), "utf8"), inner.digest);

  // JSON is YAML, so this is a pipeline.
  const resource = { name: "web", type: "oci-build", source: { repository: "registry.example/web" } };
  await inImage(["validate"], { resources: [resource] });
  await inImage(["test", "-f", "/opt/resource/schemas/pipeline.json"], {});

  // As a task, with a param whose name is no shell variable's.
  const task = "/tmp/build/put";
  const taskParams = ["CONTEXT=app", "LABEL_org.example.team=shop"];
  await inImage(["env", "-C", task, ...taskParams, "build"], {});
  const labels = await readFile(join(rootfs, task, "image/labels.json"), "utf8");
  assert.deepEqual(JSON.parse(labels), { "org.example.team": "shop" });
});
