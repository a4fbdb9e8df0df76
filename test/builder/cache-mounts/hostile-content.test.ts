import assert from "node:assert/strict";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { execa } from "execa";
import { budgetFor } from "../../../src/builder/cache-mounts/disk-guard.ts";
import type { CacheMount } from "../../../src/builder/cache-mounts/mount-flags.ts";
import { mountsPlace } from "../../../src/builder/cache-mounts/place.ts";
import { restoreMounts } from "../../../src/builder/cache-mounts/restore.ts";
import { runTransfer } from "../../../src/builder/cache-mounts/transfer.ts";
import {
  indexSecret,
  indexStage,
  measuringDockerfile,
  savingDockerfile,
} from "../../../src/builder/cache-mounts/transfer-dockerfile.ts";
import type { CacheLocation } from "../../../src/builder/plan/layer-cache.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type ForgedLayer, forgeLayers, zerosTar } from "../../support/images/forged-cache.ts";
import { startTransferDaemon } from "../../support/runs/transfer-daemon.ts";
import { endOfArchive, rawTar } from "../../support/tar/raw-tar.ts";

const mount: CacheMount = { id: "/m", ownership: "" };
const key = "0123456789abcdef".repeat(2);
const entry = { ...mount, key, fingerprint: "0".repeat(64), bytes: 10, used: 1 };
const listOf = (...mounts: readonly unknown[]) => JSON.stringify({ version: 1, mounts });

/** What a mount is filled with, the list that is saved with it, and what comes of restoring that. */
interface Row {
  readonly what: string;
  readonly fill?: string;
  readonly list: string;
  /** What the layers with a file of this name are replaced by in the saved cache. */
  readonly forged?: ForgedLayer;
  /** Files in the mount afterwards. */
  readonly files: number;
  readonly warning?: RegExp;
}

const rows: readonly Row[] = [
  { what: "good content", list: listOf(entry), files: 1 },
  {
    what: "content with links out of the mount, pipes and names that look like options",
    fill: "cd /mount; ln -s / root; ln -s ../../etc/passwd passwd; mkfifo pipe; echo > ./-rf; echo > '$(id)'",
    list: listOf(entry),
    files: 2,
  },
  {
    what: "content that is larger than its list says and than the limit",
    fill: "head -c 50000000 /dev/zero > /mount/f",
    list: listOf(entry),
    files: 0,
    warning:
      /warning: cache mount \/m not restored: its 50\.0 MB are more than cache\.mounts\.limit, 1\.0 MB/,
  },
  {
    what: "content of more empty files than the limit allows",
    fill: "cd /mount; seq 300 | xargs touch",
    list: listOf({ ...entry, bytes: 0 }),
    files: 0,
    warning:
      /warning: cache mount \/m not restored: its 0 B in 300 files, folders and links count as 1\.2 MB, which is more than/,
  },
  {
    what: "content that is a hundred thousand empty files when it is unpacked",
    forged: { name: "saved/", layer: () => Readable.from(manyFiles(100)) },
    list: listOf(entry),
    files: 0,
    warning: /warning: cache mount \/m not restored: it was stopped, as it took more than 132 MB of the disk/,
  },
  {
    what: "content with a sparse file of nine exabytes",
    forged: { name: "saved/", layer: () => Readable.from([rawTar([sparseFile])]) },
    list: listOf(entry),
    files: 0,
    warning: /warning: cache mount \/m not restored: it was stopped, as it took more than 132 MB of the disk/,
  },
  {
    what: "content with devices, attributes, and links and names that lead out of it",
    forged: {
      name: "saved/",
      layer: () =>
        Readable.from([
          rawTar([
            { flag: "5", path: "saved/" },
            { flag: "3", path: "saved/null", device: [1, 3] },
            { flag: "4", path: "saved/disk", device: [7, 0] },
            { flag: "2", path: "saved/root", link: "/" },
            { flag: "0", path: "saved/root/mount/outside", content: Buffer.from("x") },
            { flag: "0", path: "saved/../../../mount/above", content: Buffer.from("x") },
            {
              flag: "0",
              path: "saved/\xff\n\t\x01",
              content: Buffer.from("odd"),
              xattrs: { "user.color": Buffer.from("red") },
            },
          ]),
        ]),
    },
    list: listOf(entry),
    files: 1,
  },
  {
    what: "content whose folder is a link to another one",
    forged: {
      name: "saved/",
      layer: () => Readable.from([rawTar([{ flag: "2", path: "saved", link: "/" }])]),
    },
    list: listOf(entry),
    files: 0,
    warning: /warning: cache mount \/m not restored: /,
  },
  {
    what: "content that is larger than the limit by its list",
    list: listOf({ ...entry, bytes: 5e9 }),
    files: 0,
    warning: /warning: cache mount \/m not restored: its 5\.0 GB are more than/,
  },
  {
    what: "content that grows to two gigabytes when it is unpacked",
    forged: { name: "saved/", layer: () => zerosTar("saved/f", 2e9) },
    list: listOf(entry),
    files: 0,
    warning:
      /warning: cache mount \/m not restored: it was stopped, as it took more than 132 MB of the disk, or half/,
  },
  {
    what: "a list that grows to two gigabytes when it is unpacked",
    forged: { name: "index", layer: () => zerosTar("index", 2e9) },
    list: listOf(entry),
    files: 0,
    warning:
      /warning: saved cache mounts not used: their list can't be read: it was stopped, as it took more than 130 MB/,
  },
  {
    what: "a list that is larger than lists are",
    forged: { name: "index", layer: () => zerosTar("index", 1e6) },
    list: listOf(entry),
    files: 0,
    warning: /warning: saved cache mounts not used: .*: it is not a file of at most 512 kB/,
  },
  {
    what: "a list that is a pipe, from which nothing ever comes",
    forged: { name: "index", layer: () => Readable.from([rawTar([{ flag: "6", path: "index" }])]) },
    list: listOf(entry),
    files: 0,
    warning: /warning: saved cache mounts not used: .*: it is not a file of at most 512 kB/,
  },
  {
    what: "a list that names content which isn't there",
    list: listOf({ ...entry, key: "f".repeat(32) }),
    files: 0,
    warning: /warning: cache mount \/m not restored: the cache no longer has its content/,
  },
  {
    what: "a list that isn't JSON",
    list: "{",
    files: 0,
    warning: /warning: saved cache mounts not used: their list can't be read/,
  },
  {
    what: "a list of another version",
    list: JSON.stringify({ version: 2, mounts: [entry] }),
    files: 0,
    warning: /warning: saved cache mounts not used: their list can't be read/,
  },
  {
    what: "a list with too many entries",
    list: listOf(...Array.from({ length: 501 }, () => entry)),
    files: 0,
    warning: /warning: saved cache mounts not used: their list can't be read/,
  },
  {
    what: "entries that would add to a Dockerfile, and a record of whether they pay that is none",
    list: JSON.stringify({
      version: 1,
      payoff: { steps: "many", groups: [{ group: "x" }] },
      mounts: [
        { ...entry, id: '/m,target=/etc"\nRUN rm -rf /' },
        { ...entry, ownership: "uid=0,from=scratch" },
        { ...entry, key: "$(id)" },
        { ...entry, bytes: -1 },
        null,
        entry,
      ],
    }),
    files: 1,
  },
];

/** A tar archive of so many thousand empty files. */
function* manyFiles(thousands: number): Generator<Buffer> {
  yield rawTar([{ flag: "5", path: "saved/" }]).subarray(0, -endOfArchive.length);
  for (let thousand = 0; thousand < thousands; thousand++) {
    const members = Array.from({ length: 1000 }, (_, index) => ({
      flag: "0",
      path: `saved/${thousand * 1000 + index}`,
    }));
    yield rawTar(members).subarray(0, -endOfArchive.length);
  }
  yield endOfArchive;
}

/** In GNU's format 1.0, with a list of no parts: all of it is a hole. */
const sparseFile = {
  flag: "0",
  path: "saved/f",
  content: Buffer.from("0\n".padEnd(512, "\0")),
  pax: {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "saved/f",
    "GNU.sparse.realsize": "9000000000000000000",
  },
};

for (const { what, fill = "echo content > /mount/f", list, forged, files, warning } of rows) {
  test(`${what}: ${files === 0 ? "the mount begins empty, with a warning" : "restored as it is"}`, async () => {
    await using folder = await createPrivateFolder("test-hostile-mounts");
    const location: CacheLocation = {
      type: "local",
      attributes: { directory: join(folder.path, "cache") },
      mode: "max",
      export: true,
      mounts: { restore: true, save: true, limit: 1e6, always: false },
    };
    const place = mountsPlace(location, "");
    {
      await using writer = await startTransferDaemon(folder.path);
      const command = JSON.stringify([
        "/tool/busybox",
        "sh",
        "-ec",
        `export PATH=/bin; /tool/busybox mkdir /bin; /tool/busybox --install -s /bin; ${fill}`,
      ]);
      const flags = "--mount=type=bind,target=/tool --mount=type=cache,id=/m,target=/mount";
      await runTransfer(writer.context, {
        dockerfile: `FROM scratch\nRUN ${flags} ${command}\n`,
        budget: budgetFor(1e9),
      });
      await runTransfer(writer.context, {
        dockerfile: savingDockerfile([{ mount, key }], place.id),
        budget: budgetFor(1e9),
        exports: [place.exports],
        anew: indexStage,
        secret: { id: indexSecret, text: list },
      });
    }
    if (forged !== undefined) await forgeLayers(join(folder.path, "cache/cache.mounts"), forged);
    await using reader = await startTransferDaemon(folder.path);
    const { restored } = await restoreMounts({
      context: reader.context,
      mounts: [mount],
      instructions: "",
      locations: [location],
    });
    // Without a look at the disk all of a layer would be unpacked, whatever its size.
    const { stdout } = await execa("du", ["--summarize", "--block-size=1", reader.daemon.root]);
    assert.ok(Number.parseInt(stdout, 10) < 1e9, stdout);
    assert.equal(restored.size, files === 0 ? 0 : 1);
    const logged = reader.step.logged();
    if (warning === undefined) assert.equal(logged, "");
    else assert.match(logged, warning);
    const measured = await runTransfer(reader.context, {
      dockerfile: measuringDockerfile([{ mount, restored: undefined }], { limit: 1e9, nonce: "anew" }),
      budget: budgetFor(1e9),
    });
    assert.equal(Number(measured.reports[0]?.[2]), files);
  });
}
