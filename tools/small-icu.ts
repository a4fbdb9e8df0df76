import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Leaves only English in the data on languages that a Node.js program holds, as a build of Node with
 * `--with-intl=small-icu` would: `node tools/small-icu.ts PROGRAM`. `Intl` then answers in English for every language. The file keeps its length, with zeros at the end
 * of the data, so compressed it is a quarter smaller. Needs `icupkg`, of ICU, in any version that has `--ignore-deps`.
 */
async function main(program: string): Promise<void> {
  const bytes = await readFile(program);
  const data = findData(bytes);
  if (data === undefined) {
    console.error(`${program} holds no ICU data of its own: left as it is`);
    return;
  }
  const folder = await mkdtemp(join(tmpdir(), "small-icu-"));
  try {
    // icupkg takes what items' names begin with from the name of the file.
    const file = join(folder, `${data.name}.dat`);
    // The last item is removed, so it doesn't matter where it ends.
    await writeFile(file, bytes.subarray(data.start, data.lastItem + (1 << 16)));
    const items = execFileSync("icupkg", ["-l", file], { encoding: "utf8" }).trim().split("\n");
    const removed = items.filter(isOfOtherLanguage);
    if (removed.at(-1) !== items.at(-1)) throw new Error(`expected to remove the last item, ${items.at(-1)}`);
    const list = join(folder, "removed.txt");
    await writeFile(list, `${removed.join("\n")}\n`);
    execFileSync("icupkg", ["--ignore-deps", "-r", list, file]);
    const small = await readFile(file);
    bytes.fill(0, data.start, data.lastItem);
    small.copy(bytes, data.start);
    await writeFile(program, bytes);
    console.error(`${program}: ${small.length} bytes of ICU data instead of ${data.lastItem - data.start}`);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Finds ICU's data package (ICU's `ucmndata.h` and `udata.h`): a header that begins with its size and the bytes da 27 and
 * has the format's name, `CmnD`, at byte 12; then the number of items, and for each the offsets of its name and of its bytes.
 */
function findData(bytes: Buffer) {
  for (let at = bytes.indexOf("CmnD"); at >= 0; at = bytes.indexOf("CmnD", at + 1)) {
    const start = at - 12;
    if (start < 0 || bytes.readUInt16BE(start + 2) !== 0xda27) continue;
    const contents = start + bytes.readUInt16LE(start);
    const last = contents + 4 + 8 * (bytes.readUInt32LE(contents) - 1);
    const name = contents + bytes.readUInt32LE(last);
    const path = bytes.toString("latin1", name, bytes.indexOf(0, name));
    return {
      start,
      /** Where the last item begins. */
      lastItem: contents + bytes.readUInt32LE(last + 4),
      /** `icudt78l`, for example. */
      name: path.slice(0, path.indexOf("/")),
    };
  }
  return undefined;
}

/** Whether an item isn't needed for English: `de.res`, `zone/zh_Hant.res`, other encodings, dictionaries, transliterations. */
function isOfOtherLanguage(path: string): boolean {
  if (path.startsWith("translit/") || /\.(cnv|dict)$/.test(path)) return true;
  const [, language] = /(?:^|\/)([a-z]{2,3})(?:_[A-Za-z0-9_]*)?\.res$/.exec(path) ?? [];
  return language !== undefined && language !== "en";
}

const [program] = process.argv.slice(2);
if (program === undefined) throw new Error("usage: node tools/small-icu.ts PROGRAM");
await main(program);
