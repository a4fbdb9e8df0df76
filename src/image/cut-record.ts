import { sum } from "../host/sum.ts";
import type { BuildRecord } from "./build-record.ts";

/** The part of a field that takes at most this many bytes as JSON. */
type Cut<T> = (value: T, bytes: number) => T;

/** The fields that may be large. */
type LargeField =
  | "dockerfile"
  | "steps"
  | "warnings"
  | "base_images"
  | "params"
  | "build_args"
  | "labels"
  | "targets";

const cuts: { readonly [K in LargeField]: Cut<BuildRecord[K]> } = {
  dockerfile: (dockerfile, bytes) => {
    if (dockerfile === undefined) return undefined;
    const rest = sizeOf({ ...dockerfile, text: "" }) - quotes;
    return { ...dockerfile, text: textWithin(dockerfile.text, bytes - rest) };
  },
  steps: (steps, bytes) => {
    const longest = steps.toSorted((a, b) => b.seconds - a.seconds);
    const kept = new Set(listWithin(longest, bytes));
    return steps.filter((step) => kept.has(step));
  },
  warnings: listWithin,
  base_images: listWithin,
  params: mapWithin,
  build_args: mapWithin,
  labels: mapWithin,
  targets: withoutLayers,
};

/** Bytes that the names of cut fields may take in `left_out`. */
const namesSize = sizeOf(Object.keys(cuts));
/** Bytes of a text's quotes, or of a list's or a map's brackets. */
const quotes = 2;

/**
 * Cuts the largest fields of a record to one size, so that it has at most `limit` bytes as JSON, and names them in
 * `left_out`. Smaller fields stay whole. A Dockerfile loses its end, `steps` the shortest ones, other lists their last
 * items, maps their largest entries, and `targets` the layers of images. Pure.
 * @returns a record that is still too large if what can't be cut is
 */
export function cutRecord(record: BuildRecord, limit: number): BuildRecord {
  if (sizeOf(record) <= limit) return record;
  const sizes = Object.keys(cuts).map((name) => sizeOf(record[name] ?? ""));
  const rest = sizeOf(record) - sum(sizes) + namesSize;
  const share = fairShare(sizes, limit - rest);
  const large = Object.entries(cuts).filter((_, index) => (sizes[index] ?? 0) > share);
  const cut = large.map(([name, within]) => [name, (within as Cut<unknown>)(record[name], share)] as const);
  return { ...record, ...Object.fromEntries(cut), left_out: cut.map(([name]) => name) };
}

/** The size such that all sizes, each of them at most that large, are `total` together. */
function fairShare(sizes: readonly number[], total: number): number {
  let left = total;
  for (const [index, size] of sizes.toSorted((a, b) => a - b).entries()) {
    const share = Math.floor(left / (sizes.length - index));
    if (size > share) return Math.max(share, 0);
    left -= size;
  }
  return left;
}

/** The beginning of a text. A character is not cut in two. */
function textWithin(text: string, bytes: number): string {
  let [kept, beyond] = [0, text.length + 1];
  while (beyond - kept > 1) {
    const middle = Math.floor((kept + beyond) / 2);
    if (sizeOf(text.slice(0, middle)) <= bytes) kept = middle;
    else beyond = middle;
  }
  const part = text.slice(0, kept);
  return part.isWellFormed() || !text.isWellFormed() ? part : part.slice(0, -1);
}

/** The first items of a list. */
function listWithin<T>(items: readonly T[], bytes: number): T[] {
  let left = bytes - quotes;
  const end = items.findIndex((item) => {
    left -= sizeOf(item) + 1;
    return left < 0;
  });
  return items.slice(0, end === -1 ? items.length : end);
}

/** The smallest entries of a map, in their order. */
function mapWithin<T>(map: Readonly<Record<string, T>>, bytes: number): Record<string, T> {
  const entries = Object.entries(map);
  const smallest = entries.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  const kept = new Set(listWithin(smallest, bytes));
  return Object.fromEntries(entries.filter((entry) => kept.has(entry)));
}

type RecordedTargets = BuildRecord["targets"];

/** The targets, with the layers of as many images as there is room for, the first ones first. */
function withoutLayers(targets: RecordedTargets, bytes: number): RecordedTargets {
  const bare = targets.map((target) => ({
    ...target,
    images: target.images.map((image) => ({ ...image, layers: image.layers.slice(0, 0) })),
  }));
  let left = bytes - sizeOf(bare);
  return targets.map((target) => ({
    ...target,
    images: target.images.map((image) => {
      left -= sizeOf(image.layers) - quotes;
      return left < 0 ? { ...image, layers: [] } : image;
    }),
  }));
}

/** Bytes as JSON. */
function sizeOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
