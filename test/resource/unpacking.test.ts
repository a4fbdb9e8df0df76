import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { ImageRecipe } from "../support/images/image-writer.ts";
import { storeInDirectory } from "../support/images/stored-image.ts";
import { holding } from "../support/images/unpacking.ts";
import { withListedDisk } from "../support/runs/disks.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import {
  assertFailedCleanly,
  type Run,
  type RunOptions,
  runResource,
  versionOf,
} from "../support/runs/resource.ts";
import { fifo, file, folder, hardlink, symlink } from "../support/tar/members.ts";
import { rawTar } from "../support/tar/raw-tar.ts";
import { assertSameTree, readTree } from "../support/tar/trees.ts";

/** So large an image is unpacked in several threads. */
const large = { ...file("large"), content: randomBytes(randomFrom(1), 1_100_000) };

interface Place extends AsyncDisposable {
  readonly path: string;
  readonly destination: string;
  readonly rootfs: string;
  get(options?: RunOptions): Promise<Run>;
}

/** A stored image, and how to get its root filesystem by the real executable. */
async function place(recipe: ImageRecipe): Promise<Place> {
  await using resources = new AsyncDisposableStack();
  const { path } = resources.use(await createPrivateFolder("test-get"));
  const directory = join(path, "builds");
  const { version } = await storeInDirectory(directory, { "": [recipe] });
  const destination = join(path, "got");
  const stdin = {
    source: { directory },
    version,
    params: { unpack_rootfs: true, image_tar: false },
  };
  const owned = resources.move();
  return {
    path,
    destination,
    rootfs: join(destination, "rootfs"),
    get: (options) => runResource("in", { args: [destination], stdin, ...options }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Both ways of unpacking. */
const sizes = [
  ["small", []],
  ["large", [large]],
] as const;

for (const [size, more] of sizes) {
  test(`a ${size} image's devices are left out in a user namespace, said once, and nothing else is`, async () => {
    const layers = [
      rawTar([
        { flag: "3", path: "dev/null", device: [1, 3] },
        { flag: "4", path: "dev/sda", device: [8, 0] },
        hardlink("dev/zero", "dev/null"),
        fifo("pipe"),
        file("a", "a", {
          mode: 0o4755,
          xattrs: { "trusted.a": Buffer.from("a"), "trusted.b": Buffer.from("b") },
        }),
        ...more,
      ]),
      rawTar([{ flag: "0", path: "dev/.wh.sda" }, file("dev/null", "now a file")]),
    ];
    await using image = await place({ layers });
    const run = await image.get({ under: ["unshare", "--user", "--map-root-user"] });
    versionOf(run);
    const { large: _, ...held } = holding(image.rootfs);
    assert.deepEqual(held, { a: "a", "dev/null": "now a file", pipe: "fifo" });
    assert.equal(readTree(image.rootfs).get("a")?.mode, "4755");
    assert.equal(run.stderr.match(/devices can't be made in this container/g)?.length, 1, run.stderr);
    assert.equal(
      run.stderr.match(/extended attributes trusted\.\* can't be set here/g)?.length,
      1,
      run.stderr,
    );
  });

  test(`a ${size} image with owners that a user namespace doesn't have is refused, and says what to do`, async () => {
    await using image = await place({ layers: [rawTar([file("a", "a", { uid: 1000 }), ...more])] });
    const run = await image.get({ under: ["unshare", "--user", "--map-root-user"] });
    assertFailedCleanly(
      run,
      /owner 1000:0 of the image's files can't be set in this container \(EINVAL\).*more ids, or privileged/,
    );
    assert.ok(!existsSync(image.rootfs));
  });

  test(`a ${size} image's attributes are left out where the filesystem has none, said once`, async () => {
    const xattrs = { "user.a": Buffer.from("a"), "user.b": Buffer.from("b") };
    const layers = [
      rawTar([file("a", "a", { xattrs }), file("b", "b", { xattrs }), folder("d", { xattrs }), ...more]),
    ];
    await using image = await place({ layers });
    const mount = [
      "unshare",
      "--mount",
      "sh",
      "-c",
      'mkdir "$1" && mount -t ramfs ramfs "$1" && shift && exec "$@"',
    ];
    const run = await image.get({ under: [...mount, "sh", image.destination] });
    versionOf(run);
    assert.equal(run.stderr.match(/extended attributes user\.\* can't be set here/g)?.length, 1, run.stderr);
  });

  test(`a ${size} image unpacks to the same on a kernel without openat2`, async () => {
    const layers = [
      rawTar([folder("d/e/f"), file("d/e/f/x"), symlink("s", "d/e"), symlink("out", "/etc"), ...more]),
      rawTar([file("s/f/y"), file("out/z"), { flag: "0", path: "s/f/.wh.x" }, file("d/e/w")]),
    ];
    await using image = await place({ layers });
    versionOf(await image.get());
    const expected = readTree(image.rootfs);
    await using other = await place({ layers });
    const log = join(other.path, "calls");
    const strace = [
      "strace",
      "-f",
      "-qq",
      "-o",
      log,
      "-e",
      "trace=openat2",
      "-e",
      "inject=openat2:error=ENOSYS",
    ];
    versionOf(await other.get({ under: strace }));
    assertSameTree(readTree(other.rootfs), expected);
    // Each thread that writes finds out once.
    const calls = readFileSync(log, "utf8").match(/openat2\(.*ENOSYS/g)?.length ?? 0;
    assert.ok(calls >= 1 && calls <= 2, `${calls} calls`);
  });

  test(`no program of a ${size} image's root is run, wherever PATH leads`, async () => {
    const names = ["tar", "gzip", "igzip", "zstd", "unpigz", "pigz", "setfattr", "setpriv", "sh"];
    const marker = `#!/bin/sh\n: > /tmp/marker\n`;
    const programs = ["", "bin/"].flatMap((at) =>
      names.map((name) => file(`${at}${name}`, marker, { mode: 0o755 })),
    );
    const layers = [rawTar([...programs, ...more]), rawTar([file("last", "x".repeat(300_000))])];
    for (const compression of ["gzip", "zstd"] as const) {
      await using image = await place({ layers, compression });
      const log = join(image.path, "calls");
      // As a task's own folder it would be the working directory, and a careless PATH has relative parts.
      const env = { PATH: `.:bin::${process.env["PATH"]}` };
      const run = await image.get({
        under: ["strace", "-f", "-qq", "-s", "4096", "-o", log, "-e", "trace=execve"],
        cwd: image.path,
        env,
      });
      versionOf(run);
      const called = readFileSync(log, "utf8").match(/execve\("[^"]*"/g) ?? [];
      assert.ok(called.length > 0);
      assert.deepEqual(
        called.filter((call) => !call.startsWith('execve("/') || call.includes(image.destination)),
        [],
      );
    }
  });
}

test("layers that are little and unpack to much fill the disk, are told, and leave nothing", async () => {
  const zeros = rawTar([{ flag: "0", path: "zeros", content: Buffer.alloc(64 * 1024 * 1024) }]);
  for (const compression of ["gzip", "zstd"] as const) {
    await using image = await place({ layers: [zeros], compression });
    const listing = join(image.path, "left");
    const parent = join(image.path, "small");
    const run = await image.get({
      args: [join(parent, "got")],
      under: [
        "sh",
        "-c",
        'mkdir "$1" && shift && exec "$@"',
        "sh",
        parent,
        ...withListedDisk(parent, "size=16m", listing),
      ],
    });
    assertFailedCleanly(run, /the disk is full/);
    assert.equal(readFileSync(listing, "utf8"), "./got\n");
  }
});
