import assert from "node:assert/strict";
import { lstat, mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { writeLayout } from "../../support/images/image-writer.ts";
import { toolEnvironment } from "../../support/runs/test-step.ts";
import { startBuildkitd } from "../../support/servers/buildkit.ts";
import { file, folder, hardlink, opaque, symlink, whiteout } from "../../support/tar/members.ts";
import { rawTar } from "../../support/tar/raw-tar.ts";

/** So many times each order of entries comes, because what writes files beside the reading isn't late each time. */
const times = Array.from({ length: 200 }, (_, index) => index);

const lower = [
  folder("t"),
  folder("o"),
  ...times.flatMap((n) => [
    file(`t/back-${n}`, "lower"),
    file(`t/hidden-${n}`, "lower"),
    file(`o/old-${n}`, "lower"),
  ]),
];

/** Each of these is about a small file that may not be written yet when the next entry is read. */
const upper = [
  folder("t", { mode: 0o750, mtime: "1000" }),
  folder("o"),
  ...times.flatMap((n) => [
    file(`t/again-${n}`, "first", { mode: 0o600 }),
    file(`t/again-${n}`, "second", { mode: 0o640, uid: 7, gid: 8, mtime: "2000" }),
    file(`t/linked-${n}`, `linked ${n}`),
    hardlink(`t/link-${n}`, `t/linked-${n}`),
    file(`t/folder-${n}`, "lost"),
    folder(`t/folder-${n}`),
    file(`t/folder-${n}/file`, "in a folder"),
    // What a name leads through is replaced by a link, which is followed inside the image and nowhere else. containerd
    // then gives t the folder's time.
    folder(`a-${n}`, { mtime: "1000" }),
    file(`a-${n}/lost`, "lost"),
    symlink(`a-${n}`, "/t"),
    file(`a-${n}/through-a-${n}`, "through a"),
    file(`b-${n}/c/lost`, "lost"),
    symlink(`b-${n}`, "/t"),
    file(`b-${n}/through-b-${n}`, "through b"),
    whiteout(`t/back-${n}`),
    file(`t/back-${n}`, "upper"),
    whiteout(`t/hidden-${n}`),
    file(`o/new-${n}`, "upper"),
  ]),
  file("t/large", "x".repeat(3 << 20)),
  file("t/large", "y".repeat(3 << 20)),
  opaque("o"),
];

/** The names in a folder that begin with `name-` and a number, and how many there are. */
async function counted(path: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const entry of await readdir(path)) {
    const name = entry.replace(/-\d+$/, "");
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

for (const snapshotter of ["overlayfs", "native"] as const) {
  test(`a base's layer means the same when its small files are written beside the reading, ${snapshotter}`, async () => {
    await using place = await createPrivateFolder("test-unpacking");
    const layout = join(place.path, "base");
    const archive = join(place.path, "image.tar");
    const root = join(place.path, "root");
    const { descriptor } = await writeLayout(layout, { layers: [rawTar(lower), rawTar(upper)] });
    await writeFile(join(place.path, "Dockerfile"), "FROM base\n");
    await using daemon = await startBuildkitd({ snapshotter });
    const inputs = ["--local", `context=${place.path}`, "--local", `dockerfile=${place.path}`];
    const context = `context:base=oci-layout://base@${descriptor.digest}`;
    const base = ["--oci-layout", `base=${layout}`, "--opt", context];
    const build = ["--addr", daemon.address, "build", "--frontend", "dockerfile.v0", ...inputs, ...base];
    await execa("buildctl", [...build, "--output", `type=tar,dest=${archive}`], { env: toolEnvironment() });
    await mkdir(root);
    await execa("tar", ["-x", "-p", "--numeric-owner", "-C", root, "-f", archive]);
    const inT = ["again", "linked", "link", "folder", "through-a", "through-b", "back"];
    const expected = { ...Object.fromEntries(inT.map((name) => [name, times.length])), large: 1 };
    assert.deepEqual(await counted(join(root, "t")), expected);
    assert.deepEqual(await counted(join(root, "o")), { new: times.length });
    assert.deepEqual(await counted(root), { t: 1, o: 1, a: times.length, b: times.length });
    const t = await lstat(join(root, "t"));
    assert.deepEqual([t.mode & 0o7777, t.mtimeMs], [0o750, 1_000_000]);
    for (const n of times) {
      const read = (name: string) => readFile(join(root, "t", name), "utf8");
      const { mode, uid, gid, mtimeMs } = await lstat(join(root, `t/again-${n}`));
      assert.deepEqual([mode & 0o7777, uid, gid, mtimeMs], [0o640, 7, 8, 2_000_000]);
      assert.equal(await read(`again-${n}`), "second");
      assert.equal(await read(`linked-${n}`), `linked ${n}`);
      const linked = await lstat(join(root, `t/linked-${n}`));
      assert.equal((await lstat(join(root, `t/link-${n}`))).ino, linked.ino);
      assert.deepEqual(await readdir(join(root, `t/folder-${n}`)), ["file"]);
      assert.equal(await read(`back-${n}`), "upper");
      for (const name of ["a", "b"]) {
        assert.equal(await readlink(join(root, `${name}-${n}`)), "/t");
        assert.equal(await read(`through-${name}-${n}`), `through ${name}`);
      }
    }
    const large = await readFile(join(root, "t/large"), "utf8");
    assert.equal(large, "y".repeat(3 << 20));
  });
}
