import { file, folder, hardlink, whiteout } from "../../test/support/tar/members.ts";
import { endOfArchive, type RawMember, rawMember } from "../../test/support/tar/raw-tar.ts";

/** The members of one layer. */
type Members = Iterable<RawMember>;

const million = 1_000_000;

/** Layers with so many entries that what is remembered of each decides how much memory an unpacking takes. */
const layersOf = {
  /** A million folders, a thousand in each of a thousand. */
  folders: () => [inFolders(million, (place, name) => folder(`folder-${place}/of-some-length-${name}`))],
  /** A million files in one folder. */
  files: () => [numbered(million, (at) => empty(`files/file-${at}`))],
  /** A million hard links, as many to each of 20 files as any filesystem allows. */
  links: () => [
    numbered(million, (at) => (at < 20 ? empty(`file-${at}`) : hardlink(`links/${at}`, `file-${at % 20}`))),
  ],
  /** A million files, and above them a layer that hides each on its own. */
  whiteouts: () => [
    inFolders(million, (place, name) => empty(`folder-${place}/${name}`)),
    inFolders(million, (place, name) => whiteout(`folder-${place}/${name}`)),
  ],
  /** As many layers as an image has at most, with 10,000 folders each. */
  layers: () =>
    Array.from({ length: 127 }, (_, layer) =>
      numbered(10_000, (at) => folder(`layer-${layer}/folder-${at}`)),
    ),
  /** A million files whose names have 255 bytes. */
  names: () => [inFolders(million, (place, name) => empty(`folder-${place}/${longName(name)}`))],
  /** 100,000 folders with paths of 4,000 bytes. */
  paths: () => [
    numbered(100_000, (at) => folder(`${`${longName("above")}/`.repeat(14)}${longName(String(at))}`)),
  ],
} satisfies Record<string, () => readonly Members[]>;

export type ManyEntries = keyof typeof layersOf;
export const manyEntries = Object.keys(layersOf) as ManyEntries[];

/** The archives of an image's layers, lowest first, in pieces. */
export function* archivesOfMany(name: ManyEntries): Generator<Iterable<Buffer>> {
  for (const members of layersOf[name]()) yield archive(members);
}

function* archive(members: Members): Generator<Buffer> {
  let some: Buffer[] = [];
  for (const member of members) {
    some.push(rawMember(member));
    if (some.length < 1000) continue;
    yield Buffer.concat(some);
    some = [];
  }
  yield Buffer.concat([...some, endOfArchive]);
}

function* numbered(count: number, member: (at: number) => RawMember): Generator<RawMember> {
  for (let at = 0; at < count; at++) yield member(at);
}

/** Members in folders, a thousand in each. Their names are unique in the whole layer. */
function inFolders(count: number, member: (place: number, name: string) => RawMember): Members {
  return numbered(count, (at) => member(Math.floor(at / 1000), `${Math.floor(at / 1000)}-${at % 1000}`));
}

function longName(end: string): string {
  return end.padStart(255, "name-");
}

/** A file without content. */
function empty(path: string): RawMember {
  return file(path, "");
}
