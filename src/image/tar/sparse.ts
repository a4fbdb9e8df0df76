import type { DataRun } from "./entry.ts";
import { decimal, FieldError, numberField } from "./numbers.ts";
import type { PaxRecords } from "./pax.ts";

/** The most bytes of an extended header, a long name or a sparse map, as in Go's archive/tar and libarchive. */
export const maxSpecialSize = 1 << 20;

const runBytes = 24;

/** Reads the map of a header block (four runs at 386) or of an extension block (21 at 0) of GNU's old sparse format. */
export function readRuns(
  block: Buffer,
  start: number,
  count: number,
  runs: DataRun[],
): { extended: boolean } {
  for (let index = 0; index < count; index++) {
    const at = start + index * runBytes;
    if (block[at] === 0) break; // The map ends here, as in GNU and BSD tar.
    const offset = numberField(block, at, 12, "offset in the sparse map");
    const length = numberField(block, at + 12, 12, "length in the sparse map");
    runs.push({ offset, length });
  }
  return { extended: block[start + count * runBytes] !== 0 };
}

/**
 * Which of GNU's PAX sparse formats the records announce: with the map in the records (0.1), or before the content
 * (1.0).
 */
export function sparseFormat(records: PaxRecords): "0.1" | "1.0" | undefined {
  const major = records.get("GNU.sparse.major") ?? "";
  const minor = records.get("GNU.sparse.minor") ?? "";
  if (major === "0" && (minor === "0" || minor === "1")) return "0.1";
  if (major === "1" && minor === "0") return "1.0";
  if (major !== "" || minor !== "") return undefined;
  return (records.get("GNU.sparse.map") ?? "") === "" ? undefined : "0.1";
}

/** The map of format 0.1, and of 0.0 once its records are joined: decimals separated by commas. */
export function parseMap(records: PaxRecords): DataRun[] {
  const count = decimal(records.get("GNU.sparse.numblocks") ?? "", "GNU.sparse.numblocks");
  const map = records.get("GNU.sparse.map") ?? "";
  const numbers = map === "" ? [] : map.split(",");
  if (count < 0 || numbers.length !== 2 * count)
    throw new FieldError("sparse map of another length than announced");
  return pairUp(numbers);
}

/** Reads the map of format 1.0, which comes in whole blocks before the content, one decimal a line. */
export class MapBlocks {
  #text = "";
  #lines = 0;
  #count: number | undefined;
  #bytes = 0;

  /** Takes the next block, and returns the runs once the map is complete. */
  add(block: Buffer): DataRun[] | undefined {
    this.#bytes += block.length;
    if (this.#bytes > maxSpecialSize) throw new FieldError("sparse map over 1 MiB");
    for (const byte of block) if (byte === 0x0a) this.#lines++;
    this.#text += block.toString("latin1");
    if (this.#lines === 0) return undefined;
    this.#count ??= decimal(
      this.#text.slice(0, this.#text.indexOf("\n")),
      "number of runs in the sparse map",
    );
    if (this.#count < 0) throw new FieldError("negative number of runs in the sparse map");
    if (this.#lines < 1 + 2 * this.#count) return undefined;
    return pairUp(this.#text.split("\n", 1 + 2 * this.#count).slice(1));
  }
}

function pairUp(numbers: readonly string[]): DataRun[] {
  const runs: DataRun[] = [];
  for (let index = 0; index + 1 < numbers.length; index += 2) {
    const offset = decimal(numbers[index] as string, "offset in the sparse map");
    const length = decimal(numbers[index + 1] as string, "length in the sparse map");
    runs.push({ offset, length });
  }
  return runs;
}

/**
 * Checks the runs and returns those that hold data: in order, without overlap, within the file, and together as
 * long as the stored content.
 * @throws FieldError
 */
export function checkRuns(runs: readonly DataRun[], size: number, stored: number): DataRun[] {
  if (size < 0) throw new FieldError("negative size of a sparse file");
  let end = 0;
  let data = 0;
  for (const { offset, length } of runs) {
    if (offset < 0 || length < 0) throw new FieldError("negative number in the sparse map");
    if (offset < end) throw new FieldError("runs of the sparse map overlap or are out of order");
    end = offset + length;
    if (end > size) throw new FieldError(`sparse map reaches beyond the file's ${size} bytes`);
    data += length;
  }
  if (data !== stored) throw new FieldError(`sparse map names ${data} bytes of data, ${stored} are stored`);
  return runs.filter((run) => run.length > 0);
}
