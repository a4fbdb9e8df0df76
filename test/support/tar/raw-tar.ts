/** A member of a tar archive, written as bytes: strings hold one character a byte ("latin1"). */
export interface RawMember {
  /** As in the header: `0` file, `1` hard link, `2` symlink, `3` and `4` devices, `5` folder, `6` FIFO. */
  readonly flag: string;
  readonly path: string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970; a fraction or a negative time goes into a PAX record. */
  readonly mtime?: string;
  readonly content?: Buffer;
  /** What the header says instead of the content's length. */
  readonly size?: number;
  readonly device?: readonly [number, number];
  readonly xattrs?: Readonly<Record<string, Buffer>>;
  /** More PAX records. */
  readonly pax?: Readonly<Record<string, string>>;
}

export const blockSize = 512;

/** Two blocks of zeros. */
export const endOfArchive = Buffer.alloc(2 * blockSize);

/** Writes an archive (POSIX ustar and pax): what a header can't hold goes into PAX records. */
export function rawTar(members: readonly RawMember[]): Buffer {
  return Buffer.concat([...members.map(rawMember), endOfArchive]);
}

/** The blocks of one member: its extended header if it needs one, its header and its content. */
export function rawMember(member: RawMember): Buffer {
  const { path, link = "", mtime = "0", uid = 0, gid = 0 } = member;
  const { content = Buffer.alloc(0), xattrs = {}, pax = {} } = member;
  const records = [
    ...(path.length > 100 ? [paxRecord("path", path)] : []),
    ...(link.length > 100 ? [paxRecord("linkpath", link)] : []),
    ...(isPlain(mtime) ? [] : [paxRecord("mtime", mtime)]),
    ...(uid > largestId ? [paxRecord("uid", String(uid))] : []),
    ...(gid > largestId ? [paxRecord("gid", String(gid))] : []),
    ...Object.entries(xattrs).map(([name, value]) =>
      paxRecord(`SCHILY.xattr.${name}`, value.toString("latin1")),
    ),
    ...Object.entries(pax).map(([key, value]) => paxRecord(key, value)),
  ];
  const own = [rawHeader(member), padded(content)];
  return Buffer.concat(records.length === 0 ? own : [extension("x", Buffer.concat(records)), ...own]);
}

/** A header of type `x`, `g`, `L` or `K` with its body. */
export function extension(flag: string, body: Buffer): Buffer {
  return Buffer.concat([rawHeader({ flag, path: "extension", size: body.length }), padded(body)]);
}

/** `<length> <key>=<value>\n`, where the length counts itself (POSIX pax, "pax Header Block"). */
export function paxRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.from(`${length}${rest}`, "latin1");
}

/** Where a header has what, for those who write it by hand: start and length in bytes. */
export const fields = {
  path: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  flag: [156, 1],
  link: [157, 100],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
} as const;

/** One header block. `overwrite` replaces whole fields by bytes, before the checksum is taken. */
export function rawHeader(
  member: RawMember,
  overwrite: Readonly<Partial<Record<keyof typeof fields, string>>> = {},
): Buffer {
  const { flag, path, link = "", mode = 0o644, uid = 0, gid = 0, mtime = "0", device = [0, 0] } = member;
  const { content, size = content?.length ?? 0 } = member;
  const block = Buffer.alloc(blockSize);
  const texts = {
    path: path.slice(0, 100),
    mode: octal(mode, 8),
    uid: octal(Math.min(uid, largestId), 8),
    gid: octal(Math.min(gid, largestId), 8),
    size: octal(size, 12),
    mtime: octal(isPlain(mtime) ? Number(mtime) : 0, 12),
    checksum: " ".repeat(8),
    flag,
    link: link.slice(0, 100),
    magic: "ustar\u000000",
    devMajor: octal(device[0], 8),
    devMinor: octal(device[1], 8),
    ...overwrite,
  };
  for (const [name, text] of Object.entries(texts)) {
    block.write(text, fields[name as keyof typeof fields][0], "latin1");
  }
  const sum = block.reduce((total, byte) => total + byte, 0);
  if (overwrite.checksum === undefined) block.write(`${octal(sum, 7)} `, fields.checksum[0], "latin1");
  return block;
}

/** A number in GNU's base-256, for fields that it doesn't fit into otherwise. */
export function base256(value: bigint, length: number): string {
  const bytes = Buffer.alloc(length);
  let rest = BigInt.asUintN(length * 8, value);
  for (let at = length - 1; at >= 0; at--, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  bytes[0] = (bytes[0] as number) | 0x80;
  return bytes.toString("latin1");
}

/** Content with zeros up to a whole block. */
export function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((blockSize - (bytes.length % blockSize)) % blockSize)]);
}

const largestId = 0o7777777;

function isPlain(time: string): boolean {
  return /^\d{1,10}$/.test(time);
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\u0000`;
}
