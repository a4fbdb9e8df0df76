import { randomBytes } from "../runs/random.ts";
import {
  base256,
  blockSize,
  endOfArchive,
  extension,
  fields,
  paxRecord,
  type RawMember,
  rawMember,
} from "./raw-tar.ts";

type Random = () => number;

/** An archive made of members that readers trip over, or one of `archives`, and then changed in a few places. */
export function mutatedTar(random: Random, archives: readonly Buffer[]): Buffer {
  const pick = picker(random);
  const start = random() < 0.5 && archives.length > 0 ? pick(archives) : generated(random);
  let archive = start.subarray(0, 200_000);
  const count = Math.floor(random() ** 2 * 6);
  for (let round = 0; round < count; round++) archive = mutated(archive, { random, archives });
  return archive;
}

const flags = [
  "0",
  "1",
  "2",
  "3",
  "4",
  "5",
  "6",
  "7",
  "x",
  "g",
  "L",
  "K",
  "S",
  "\0",
  "D",
  "V",
  "M",
  "N",
  "A",
  "\u00ff",
];
const names = [
  "a",
  "d/",
  "d/a",
  "../a",
  "/a",
  ".",
  "",
  "a\0b",
  "\u00ff",
  "x".repeat(99),
  "x".repeat(100),
  "y".repeat(155),
  "./a//b/",
];
const numbers = [
  "",
  " ",
  "\0",
  "0",
  "7",
  "10",
  "1000",
  "777777777777",
  "77777777777\0",
  "-1",
  " 12 ",
  "12\0zz",
  "8",
  "0x1",
  "\u0080",
];
const keys = [
  ..."path linkpath size uid gid uname gname mtime atime ctime comment charset hdrcharset".split(" "),
  ..."SCHILY.xattr.user.a SCHILY.xattr. LIBARCHIVE.xattr.user.a GNU.sparse.major GNU.sparse.minor".split(" "),
  ..."GNU.sparse.name GNU.sparse.realsize GNU.sparse.size GNU.sparse.numblocks GNU.sparse.map".split(" "),
  ..."GNU.sparse.offset GNU.sparse.numbytes".split(" "),
];
const values = [
  "",
  "0",
  "1",
  "2",
  "3",
  "512",
  "1000",
  "-1",
  "+5",
  " 1",
  "1 ",
  "1.5",
  "-1.5",
  "1.",
  ".5",
  "1.x",
  "1.1234567891",
  "abc",
  "a/b",
  "d/",
  "a\0b",
  "0,1",
  "0,512",
  "0,1,1,1",
  "1,0,0,1",
  "a,b",
  "9".repeat(15),
  "9".repeat(20),
  "\u00ff\u0080",
];

function picker(random: Random): <T>(from: readonly T[]) => T {
  return <T>(from: readonly T[]) => from[Math.floor(random() * from.length)] as T;
}

function generated(random: Random): Buffer {
  const pick = picker(random);
  const parts: Buffer[] = [];
  const count = 1 + Math.floor(random() * 5);
  for (let at = 0; at < count; at++) {
    if (random() < 0.3) parts.push(extension(pick(["x", "x", "x", "g"]), records(random)));
    if (random() < 0.15) parts.push(extension(pick(["L", "K"]), Buffer.from(`${pick(names)}\0`, "latin1")));
    parts.push(random() < 0.15 ? sparse(random) : member(random));
  }
  if (random() < 0.8) parts.push(endOfArchive);
  return Buffer.concat(parts);
}

function member(random: Random): Buffer {
  const pick = picker(random);
  const made: RawMember = {
    flag: pick(flags),
    path: pick(names),
    link: pick(names),
    content: randomBytes(random, pick([0, 0, 1, 511, 512, 513, 1000])),
    pax: random() < 0.2 ? { [pick(keys)]: pick(values) } : {},
  };
  return rawMember(made);
}

function records(random: Random): Buffer {
  const pick = picker(random);
  const made = Array.from({ length: Math.floor(random() * 5) }, () => paxRecord(pick(keys), pick(values)));
  const body = Buffer.concat(made);
  return random() < 0.1 ? mutatedBytes(body, random) : body;
}

/** GNU's sparse formats 0.0, 0.1 and 1.0, mostly as they should be. */
function sparse(random: Random): Buffer {
  const pick = picker(random);
  const runs = Array.from(
    { length: Math.floor(random() * 4) },
    (_, at) => [at * 1000, pick([0, 1, 512, 999])] as const,
  );
  const data = runs.reduce((sum, [, length]) => sum + length, 0);
  const map = runs.flat();
  const size = String(random() < 0.8 ? 4000 : pick([0, 500, 2 ** 40]));
  const content = randomBytes(random, random() < 0.9 ? data : pick([0, 1, 1000]));
  const common = { flag: "0", path: "sparse" };
  switch (pick(["0.0", "0.1", "1.0"])) {
    case "0.0": {
      const pairs = runs.map(([offset, length]) =>
        Buffer.concat([
          paxRecord("GNU.sparse.offset", String(offset)),
          paxRecord("GNU.sparse.numbytes", String(length)),
        ]),
      );
      const head = [
        paxRecord("GNU.sparse.size", size),
        paxRecord("GNU.sparse.numblocks", String(runs.length)),
      ];
      return Buffer.concat([
        extension("x", Buffer.concat([...head, ...pairs])),
        rawMember({ ...common, content }),
      ]);
    }
    case "0.1": {
      const pax = {
        "GNU.sparse.size": size,
        "GNU.sparse.numblocks": String(runs.length),
        "GNU.sparse.name": "named",
        "GNU.sparse.map": map.join(","),
      };
      return rawMember({ ...common, content, pax });
    }
    default: {
      const lines = Buffer.alloc(blockSize);
      lines.write([runs.length, ...map].map((number) => `${number}\n`).join(""));
      const pax = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "named",
        "GNU.sparse.realsize": size,
      };
      return rawMember({ ...common, content: Buffer.concat([lines, content]), pax });
    }
  }
}

function mutated(
  archive: Buffer,
  { random, archives }: { random: Random; archives: readonly Buffer[] },
): Buffer {
  const pick = picker(random);
  const blocks = Math.floor(archive.length / blockSize);
  const at = Math.floor(random() * blocks) * blockSize;
  const before = archive.subarray(0, at);
  const block = Buffer.from(archive.subarray(at, at + blockSize));
  const after = archive.subarray(at + blockSize);
  const chance = random();
  if (block.length < blockSize || chance < 0.05)
    return archive.subarray(0, Math.floor(random() * archive.length));
  if (chance < 0.1) return Buffer.concat([before, after]);
  if (chance < 0.15) return Buffer.concat([before, block, block, after]);
  if (chance < 0.2)
    return Buffer.concat([before, Buffer.alloc(blockSize), random() < 0.5 ? block : Buffer.alloc(0), after]);
  if (chance < 0.3) return Buffer.concat([before, generated(random), block, after]);
  if (chance < 0.35 && archives.length > 0)
    return Buffer.concat([before, pick(archives).subarray(0, 20_000), after]);
  const isHeader = hasSum(block);
  if (isHeader && chance < 0.75) overwriteField(block, random);
  else mutatedBytes(block, random).copy(block);
  if (isHeader && random() < 0.95) writeSum(block);
  return Buffer.concat([before, block, after]);
}

function overwriteField(block: Buffer, random: Random): void {
  const pick = picker(random);
  const [name, [start, length]] = pick(Object.entries(fields));
  block.fill(0, start, start + length);
  block.write(textFor(name, length, random).slice(0, length), start, "latin1");
}

function textFor(name: string, length: number, random: Random): string {
  const pick = picker(random);
  if (name === "flag") return pick(flags);
  if (name === "magic") return pick(["ustar\u000000", "ustar  \0", "ustar\0\0\0", "ustar", "", "ustar 00"]);
  if (["path", "link", "prefix"].includes(name)) return pick(names);
  if (random() < 0.7) return pick(numbers);
  return base256(pick([0n, 1n, -1n, 512n, 2n ** 31n, 2n ** 40n, 2n ** 53n, 2n ** 62n, -(2n ** 40n)]), length);
}

function mutatedBytes(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes);
  const count = 1 + Math.floor(random() * 3);
  for (let round = 0; round < count && copy.length > 0; round++) {
    copy[Math.floor(random() * copy.length)] = [0, 0x20, 0x30, 0x0a, 0x3d, 0x80, 0xff, random() * 256][
      Math.floor(random() * 8)
    ] as number;
  }
  return copy;
}

function sumOf(block: Buffer): number {
  const [start, length] = fields.checksum;
  let sum = 0x20 * length;
  for (const [at, byte] of block.entries()) if (at < start || at >= start + length) sum += byte;
  return sum;
}

function hasSum(block: Buffer): boolean {
  const [start, length] = fields.checksum;
  const text = block
    .toString("latin1", start, start + length)
    .replace(/[\0 ].*$/, "")
    .trim();
  return text !== "" && Number.parseInt(text, 8) === sumOf(block);
}

function writeSum(block: Buffer): void {
  block.write(`${sumOf(block).toString(8).padStart(6, "0")}\0 `, fields.checksum[0], "latin1");
}
