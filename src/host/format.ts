/** Bytes for people, in powers of 1000 as registries count: `812 B`, `3.1 MB`. Pure. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * A size that a param may set, as params have it, in powers of 1024 as Docker counts, and then as {@link formatBytes}:
 * `20m (21.0 MB)`. A size that isn't round in this way is only written as the latter. Pure.
 */
export function formatSetting(bytes: number): string {
  const units = ["", "k", "m", "g", "t"];
  const unit = units.findLastIndex((_, power) => bytes % 1024 ** power === 0);
  const count = bytes / 1024 ** unit;
  return unit > 0 && bytes > 0 && count < 10_000
    ? `${count}${units[unit]} (${formatBytes(bytes)})`
    : formatBytes(bytes);
}
