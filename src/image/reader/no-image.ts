import { readdir } from "node:fs/promises";
import { posix } from "node:path";
import { lfsHeadLength, lfsPointer } from "../../host/lfs-pointer.ts";
import { shownName } from "./image-files.ts";

const expected = 'expected what "docker save" writes, or an OCI layout';

/** The number of first bytes by which {@link otherFormat} tells formats. */
export const formatHeadLength = lfsHeadLength;

/** Formats in which images are found, but which aren't read. Their first bytes, as "latin1". */
const foreignFormats: readonly { readonly magic: string; readonly message: string }[] = [
  { magic: "\xfd7zXZ\0", message: decompressFirst("xz", "xz -d") },
  { magic: "BZh", message: decompressFirst("bzip2", "bzip2 -d") },
  { magic: '\x04"M\x18', message: decompressFirst("lz4", "lz4 -d") },
  { magic: "PK\x03\x04", message: "is a zip archive; expected a tar archive" },
];

function decompressFirst(name: string, command: string): string {
  return `is compressed with ${name}; expected a tar archive, plain or in gzip or Zstandard: decompress it in an earlier step (${command})`;
}

/** What a file is, if it isn't a tar archive but in a format that images come in elsewhere. */
export function otherFormat(head: Buffer): string | undefined {
  const text = head.toString("latin1");
  if (/^\s*[[{]\s*["{}\]]/.test(text)) return `is a JSON document; ${expected}, which is named by its folder`;
  return foreignFormats.find(({ magic }) => text.startsWith(magic))?.message ?? lfsPointer(head);
}

/** What is wrong with an archive of these members that has no manifest.json and no index.json. */
export function archiveWithoutImage(names: Iterable<string>): string {
  const all = new Set(names);
  const [inside] = [...all].filter((name) => /^[^/]+\/(?:manifest|index)\.json$/.test(name));
  if (inside !== undefined) {
    const name = posix.dirname(inside);
    // The archive's maker chose the name: it must do nothing else in a shell.
    const folder = /^[\w.@%+=:,][\w.@%+=:,-]{0,99}$/.test(name) ? name : "FOLDER";
    return `the archive has ${shownName(inside)} in a folder; ${expected} with it at the top: pack what is in the folder (tar -C ${folder} -cf image.tar .)`;
  }
  if (all.has("repositories"))
    return `the archive has no manifest.json, as Docker before 1.10 wrote it; ${expected}: save the image with a newer Docker`;
  const tops = new Set([...all].map((name) => name.split("/")[0]));
  if (["bin", "etc", "usr"].filter((name) => tops.has(name)).length > 1)
    return `the archive is a root filesystem, as "docker export" and "crane export" write it; ${expected}. To build on the files alone, use "FROM scratch" and ADD the archive`;
  return `the archive has neither manifest.json nor index.json; ${expected}`;
}

/** The message for a `manifest.json` that isn't Docker's list but a registry's manifest or index. */
export const registryManifest =
  'manifest.json is a manifest as a registry has it: this is the form of skopeo\'s "dir:" and of "podman save --format docker-dir"; write the image as "oci:" or "docker-archive:" instead';

/** The archives in a folder, by their names, if it holds some: an image in a folder is looked for by other names. */
export async function archivesIn(folder: string): Promise<readonly string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /\.(?:tar|tgz|tzst)(?:\.\w+)?$/.test(name)).toSorted();
}
