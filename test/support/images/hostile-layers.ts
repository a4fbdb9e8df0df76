import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Layer } from "../../../src/rootfs/unpack.ts";
import { randomBytes } from "../runs/random.ts";
import { mutatedTar } from "../tar/mutated-tar.ts";
import { type RawMember, rawTar } from "../tar/raw-tar.ts";
import { layerOf, type Outside } from "./unpacking.ts";

/**
 * Makes layers that try to get out, contradict themselves and are damaged: few names, so that they meet often, all
 * types over each other, whiteouts and links of all kinds; some bytes of some archives and blobs changed.
 */
export function hostileLayers(random: () => number, { root, canary }: Outside): Layer[] {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  /** Mostly one of the usual: one that is refused would keep what follows it from being tried. */
  const seldom = <T>(usual: readonly T[], rare: readonly T[]): T => pick(random() < 0.997 ? usual : rare);
  const folders = ["a", "a", "b", "b", "c", "..", ".", "", "canary", "folder", "rootfs-evil"];
  const leaves = [
    "a",
    "a",
    "b",
    "b",
    "c",
    "d",
    "canary",
    "victim",
    "inner",
    "\u00ff",
    ".wh.a",
    ".wh.b",
    ".wh.c",
    ".wh.victim",
    ".wh.canary",
    ".wh..wh..opq",
    ".wh..wh..opq",
    ".wh..wh.plnk",
  ];
  const rareNames = ["..", ".", "", ".wh.", ".wh..", ".wh...", ".wh.x/y", "n".repeat(256), "\u0001"];
  const path = () => {
    const above = Array.from({ length: Math.floor(random() ** 2 * 5) }, () => seldom(folders, rareNames));
    const chosen = [...above, seldom(leaves, rareNames)].join("/");
    return random() < 0.05 ? pick([`${canary}/victim`, `${root}-evil/victim`, `/${chosen}`]) : chosen;
  };
  const link = () =>
    seldom(
      [
        path(),
        path(),
        "a",
        "b",
        "a/b",
        canary,
        `${canary}/victim`,
        "../canary",
        "../../../..",
        "/",
        ".",
        "../rootfs-evil",
      ],
      ["", "l".repeat(4095), "l".repeat(4096), "a/".repeat(2000)],
    );
  /** Names that a hard link may well lead to: links to nothing are refused. */
  const linkable: string[] = [];
  const attribute = () =>
    seldom(
      ["user.a", "trusted.a", "trusted.overlay.opaque", "security.selinux", "no.such"],
      [
        "",
        "user.",
        "security.capability",
        "system.posix_acl_default",
        `user.${"n".repeat(300)}`,
        `user.${"n".repeat(5000)}`,
      ],
    );
  const content = () => randomBytes(random, pick([0, 0, 10, Math.floor(random() ** 4 * 20_000)]));
  const member = (): RawMember => {
    const flag = seldom(
      ["0", "0", "0", "1", "2", "2", "3", "4", "5", "5", "6", "7"],
      ["D", "V", "\u00ff", "1"],
    );
    const named = path();
    const target = flag === "1" && random() < 0.95 ? pick(linkable) : link();
    if (flag !== "1" && flag !== "5") linkable.push(named);
    return {
      flag: flag === "1" && target === undefined ? "6" : flag,
      path: named,
      link: target ?? "",
      mode: pick([0o644, 0o755, 0, 0o7777, 0o4755]),
      uid: seldom([0, 0, 0, 1, 2 ** 32 - 2], [2 ** 32 - 1, 2 ** 40]),
      mtime: pick(["0", "1", "-1.5", "99999999999999"]),
      device: seldom<readonly [number, number]>(
        [
          [0, 0],
          [1, 3],
          [4095, 1048575],
        ],
        [[4096, 0]],
      ),
      // What isn't a file has no body, whatever its size says.
      ...("07".includes(flag) ? { content: content() } : { size: pick([0, 0, 1000]) }),
      xattrs:
        random() < 0.9 ? {} : { [attribute()]: randomBytes(random, seldom([0, 1, 20], [5000, 70_000])) },
    };
  };
  const archive = () => {
    const tar = rawTar(Array.from({ length: 1 + Math.floor(random() * 20) }, member));
    return random() < 0.1 ? mutatedTar(random, [tar]) : tar;
  };
  const blob = (tar: Buffer) => {
    const made = pick([() => tar, () => tar, () => gzipSync(tar), () => zstdCompressSync(tar)])();
    if (random() < 0.97) return made;
    return random() < 0.5
      ? made.subarray(0, random() * made.length)
      : Buffer.concat([made, randomBytes(random, 9)]);
  };
  return Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const tar = archive();
    return layerOf(tar, blob(tar));
  });
}
