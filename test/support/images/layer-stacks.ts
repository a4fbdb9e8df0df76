import { randomBytes, randomFrom } from "../runs/random.ts";
import type { RawMember } from "../tar/raw-tar.ts";

/** Names that need care: control characters, no UTF-8, quotes, blanks, dashes, dots, and long ones. */
const names = [
  "a",
  "b",
  "c",
  "etc",
  "lib",
  "-rf",
  "with blank",
  "line\nbreak",
  "back\\slash",
  'quo"te',
  "*",
  "\u00ff\u00fe",
  "\u00c3\u00a4",
  "...",
  ".whiteout",
  "x".repeat(120),
];

/** Targets of symlinks; most lead nowhere, some out of the root. */
const targets = ["a", "/etc/passwd", "../b", "../../../../../..", ".", "\u00fe", "t".repeat(300)];

/** cap_net_raw+ep, as setcap(8) writes it, with a byte over 0x7f (linux/capability.h, struct vfs_cap_data). */
const capability = Buffer.from("0100000280200000000000000000000000000000", "hex");

/** What contents are cut from. */
const noise = randomBytes(randomFrom(0), 1 << 20);

export interface StackOptions {
  readonly seed: number;
  readonly layers: number;
  /** Of each layer. */
  readonly members: number;
  /** Bytes of the longest file, at most 1 MiB. */
  readonly longest: number;
}

/**
 * Makes layers of which each is valid over those below it: all types of entries, whiteouts, opaque folders, hard
 * links, changes of type, odd names, owners, modes with setuid, times and extended attributes. The same for one seed.
 */
export function layerStack({ seed, layers, members, longest }: StackOptions): RawMember[][] {
  const random = randomFrom(seed);
  const below = new Tree();
  return Array.from({ length: layers }, () => {
    const maker = new LayerMaker({ random, tree: below, longest });
    for (let count = 0; count < members; count++) maker.add();
    return maker.members;
  });
}

/** What the layers so far have made, by path. Of a file's further names, what its first one says of it. */
class Tree {
  readonly entries = new Map<string, RawMember>();

  set(path: string, member: RawMember): void {
    if (this.entries.get(path)?.flag !== member.flag || member.flag !== "5") this.remove(path);
    this.entries.set(path, member);
  }

  remove(path: string): void {
    for (const known of this.entries.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.entries.delete(known);
    }
  }

  of(...flags: string[]): string[] {
    return [...this.entries].filter(([, { flag }]) => flags.includes(flag)).map(([path]) => path);
  }
}

interface Making {
  readonly random: () => number;
  readonly tree: Tree;
  readonly longest: number;
}

class LayerMaker {
  readonly members: RawMember[] = [];
  /** A layer says each thing once: of what it says twice, implementations differ. */
  readonly #touched = new Set<string>();
  readonly #random: () => number;
  readonly #tree: Tree;
  readonly #longest: number;

  constructor({ random, tree, longest }: Making) {
    this.#random = random;
    this.#tree = tree;
    this.#longest = longest;
  }

  /** Adds a member, or none where the one that was drawn would contradict another. */
  add(): void {
    const folder = this.#pick(["", ...this.#tree.of("5").filter((path) => path.split("/").length < 6)]) ?? "";
    const chance = this.#random();
    if (chance < 0.06) this.#whiteout();
    else if (chance < 0.08) this.#opaque(folder);
    else this.#named(folder === "" ? "" : `${folder}/`, chance);
  }

  #whiteout(): void {
    const hidden = this.#pick([...this.#tree.entries.keys()].filter((path) => this.#isFree(path)));
    if (hidden === undefined) return;
    this.#touched.add(hidden);
    this.#tree.remove(hidden);
    const slash = hidden.lastIndexOf("/") + 1;
    this.members.push({ flag: "0", path: `${hidden.slice(0, slash)}.wh.${hidden.slice(slash)}` });
  }

  #opaque(folder: string): void {
    if (folder === "" || !this.#isFree(folder)) return;
    this.#touched.add(folder).add(`${folder}/`);
    for (const path of this.#tree.entries.keys()) {
      if (path.startsWith(`${folder}/`)) this.#tree.remove(path);
    }
    this.members.push({ flag: "0", path: `${folder}/.wh..wh..opq` });
  }

  #named(folder: string, chance: number): void {
    const path = `${folder}${this.#pick(names)}`;
    if (!this.#isFree(path)) return;
    if (chance < 0.3)
      this.#put({ flag: "5", path: `${path}/`, ...this.#attributes(), xattrs: this.#xattrs() });
    else if (chance < 0.4)
      this.#put({ flag: "2", path, ...this.#attributes(), mode: 0o777, link: this.#pick(targets) ?? "a" });
    else if (chance < 0.48) this.#hardlink(path);
    else if (chance < 0.52) this.#put({ flag: "6", path, ...this.#attributes() });
    else if (chance < 0.54) this.#put({ flag: "3", path, ...this.#attributes(), device: [1, 3] });
    else if (chance < 0.56) this.#put({ flag: "4", path, ...this.#attributes(), device: [259, 4097] });
    else
      this.#put({
        flag: "0",
        path,
        ...this.#attributes(),
        xattrs: this.#xattrs(capability),
        content: this.#content(),
      });
  }

  #put(member: RawMember): void {
    const path = member.path.replace(/\/$/, "");
    this.#touched.add(path);
    this.#tree.set(path, member);
    this.members.push(member);
  }

  #hardlink(path: string): void {
    const isApart = (known: string) =>
      known !== path && !path.startsWith(`${known}/`) && !known.startsWith(`${path}/`);
    const target = this.#pick(this.#tree.of("0", "2", "3", "6").filter(isApart));
    if (target === undefined) return;
    const first = this.#tree.entries.get(target);
    if (first === undefined) return;
    this.#touched.add(target).add(path);
    this.#tree.set(path, first);
    // As whoever writes layers, it says again what the file is: containerd gives it that once more.
    const { content: _, device: __, ...same } = first;
    this.members.push({ ...same, flag: "1", path, link: target });
  }

  /** Whether this layer has said nothing of a path, nor of what is below it and would change with it. */
  #isFree(path: string): boolean {
    if (this.#touched.has(path)) return false;
    for (const other of this.#touched) if (other.startsWith(`${path}/`)) return false;
    return true;
  }

  #attributes(): Pick<RawMember, "mode" | "uid" | "gid" | "mtime"> {
    const seconds = Math.floor(this.#random() * 2_100_000_000) - 100_000_000;
    const fraction = String(Math.floor(this.#random() * 1e9)).padStart(9, "0");
    return {
      mode: Math.floor(this.#random() * 0o10000),
      uid: this.#id(),
      gid: this.#id(),
      mtime: this.#random() < 0.5 ? String(seconds) : `${seconds}.${fraction}`,
    };
  }

  #id(): number {
    return Math.floor(this.#random() * (this.#random() < 0.1 ? 4_000_000_000 : 3000));
  }

  #xattrs(more?: Buffer): Record<string, Buffer> {
    if (this.#random() < 0.85) return {};
    return {
      "user.bytes": randomBytes(this.#random, 20),
      "user.text": Buffer.from("a=b\nc"),
      ...(more === undefined ? {} : { "security.capability": more }),
    };
  }

  #content(): Buffer {
    const length = Math.floor(this.#random() ** 3 * this.#longest);
    const start = Math.floor(this.#random() * (noise.length - length));
    return noise.subarray(start, start + length);
  }

  #pick<T>(from: readonly T[]): T | undefined {
    return from[Math.floor(this.#random() * from.length)];
  }
}
