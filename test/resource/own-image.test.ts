import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { freshOwnImage } from "../support/containers/own-image.ts";

test("the resource builds its own image, which builds images in turn", async () => {
  await using folder = await createPrivateFolder("test-own");
  const rootfs = await freshOwnImage(folder.path);
  const { stdout: raising } = await execa("find", [rootfs, "-type", "f", "-perm", "/6000"]);
  assert.equal(raising, "", "programs that raise who runs them");

  // In a container as Concourse would make it: namespaces of its own, /proc, /dev, /sys, and a folder of inputs.
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
  // As the launcher does: the snapshot is of this Node.
  const [blob, node] = ["/opt/resource/dist/main.blob", "/usr/local/bin/node"];
  await inImage(["sh", "-c", `[ -f ${blob} ] && ! [ ${blob} -nt ${node} ] && ! [ ${blob} -ot ${node} ]`], {});
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

  // Node has English only, and everything else that ICU does.
  const words = `[new Intl.DateTimeFormat("de", { month: "long", timeZone: "UTC" }).format(0), "ﬁ".normalize("NFKC")]`;
  assert.deepEqual(await inImage(["node", "-p", `JSON.stringify(${words})`], {}), ["January", "fi"]);

  // The programs that builds need, with their libraries, and a submodule, which git has a shell script for.
  const check = `set -e
    ldd /usr/bin/* /usr/sbin/* /usr/lib/git-core/* 2>/dev/null | grep "not found" >&2 && exit 1
    for program in igzip xz zstd; do echo packed | $program -c | $program -dc | grep -q packed; done
    docker-credential-ecr-login -v >/dev/null && ssh -V && busybox true
    git remote-https 2>&1 | grep -q usage
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=protocol.file.allow GIT_CONFIG_VALUE_0=always
    cd /tmp && git init -q lib && git init -q app && commit="git -c user.name=t -c user.email=t@example.org commit -q"
    echo text > lib/file && git -C lib add file && (cd lib && $commit -m file)
    git -C app submodule --quiet add /tmp/lib lib && (cd app && $commit -m lib)
    git clone -q app clone && cd clone && git submodule --quiet update --init --recursive --depth=1 && cmp lib/file ../lib/file`;
  await inImage(["sh", "-c", check], {});

  // JSON is YAML, so this is a pipeline.
  const resource = { name: "web", type: "oci-build", source: { repository: "registry.example/web" } };
  await inImage(["validate"], { resources: [resource] });
  await inImage(["test", "-f", "/opt/resource/schemas/pipeline.json"], {});

  // As a task, with a param whose name is no shell variable's.
  const task = "/tmp/build/put";
  const taskParams = ["CONTEXT=app", "LABEL_org.example.team=shop"];
  await mkdir(join(rootfs, task, "image"));
  await inImage(["env", "-C", task, ...taskParams, "build"], {});
  const labels = await readFile(join(rootfs, task, "image/labels.json"), "utf8");
  assert.deepEqual(JSON.parse(labels), { "org.example.team": "shop" });
});
