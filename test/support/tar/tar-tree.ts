import { createHash } from "node:crypto";
import type { TarEntry, TarKind } from "../../../src/image/tar/entry.ts";
import { TarReader } from "../../../src/image/tar/reader.ts";
import { showBytes, type Tree, type TreeEntry } from "./trees.ts";

/**
 * The tree that an archive of a whole filesystem holds, without its root. It is read by our reader, which others hold
 * against Go's; nothing is resolved or replaced, so no path may be there twice.
 */
export function treeOfTar(archive: Buffer): Tree {
  const tree = new Map<string, TreeEntry>();
  /** Names of each file that has several, by each of them. */
  const names = new Map<string, string[]>();
  let open: { entry: TarEntry; hash: ReturnType<typeof createHash> } | undefined;
  const reader = new TarReader({
    entry: (entry) => {
      open = { entry, hash: createHash("sha256") };
    },
    content: (bytes) => open?.hash.update(bytes),
    close: () => {
      if (open === undefined) return;
      const { entry, hash } = open;
      const path = shown(entry.path.replace(/\/$/, ""));
      if (tree.has(path)) throw new Error(`${path} is in the archive twice`);
      if (entry.kind !== "hardlink") {
        tree.set(path, entryOf(entry, hash.digest("hex")));
        return;
      }
      const target = shown(entry.link);
      const first = tree.get(target);
      if (first === undefined) throw new Error(`${path} is a link to ${target}, which isn't there yet`);
      const all = names.get(target) ?? [target];
      all.push(path);
      for (const name of all) names.set(name, all);
      tree.set(path, first);
    },
  });
  reader.write(archive);
  reader.end();
  return new Map(
    [...tree].map(([path, entry]) => {
      const hardlinks = names.get(path)?.toSorted();
      return [path, hardlinks === undefined ? entry : { ...entry, hardlinks }];
    }),
  );
}

const types: Readonly<Partial<Record<TarKind, TreeEntry["type"]>>> = {
  file: "file",
  folder: "folder",
  symlink: "symlink",
  fifo: "fifo",
  char: "character device",
  block: "block device",
};

function entryOf(entry: TarEntry, content: string): TreeEntry {
  const { kind, mode, uid, gid, mtime, size, link, devMajor, devMinor } = entry;
  const type = types[kind];
  if (type === undefined) throw new Error(`${entry.path} is of kind ${kind}`);
  const xattrs = [...(entry.xattrs ?? [])].map(([name, value]) => [name, value.toString("hex")] as const);
  return {
    type,
    mode: (mode & 0o7777).toString(8),
    uid,
    gid,
    mtime: BigInt(mtime.seconds) * 1_000_000_000n + BigInt(mtime.nanoseconds),
    xattrs: Object.fromEntries(xattrs.toSorted(([a], [b]) => (a < b ? -1 : 1))),
    ...(type === "file" && { size: BigInt(size), content }),
    ...(type === "symlink" && { target: shown(link) }),
    ...(type.endsWith("device") && { device: `${devMajor}:${devMinor}` }),
  };
}

function shown(name: string): string {
  return showBytes(Buffer.from(name, "latin1"));
}
