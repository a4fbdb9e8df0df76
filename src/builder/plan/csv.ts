/**
 * One CSV record (RFC 4180), as buildctl reads `--output`, `--secret`, `--ssh`, `--import-cache` and
 * `--export-cache`: a field with a comma, a quote or a line break is quoted, so that a value can't add a field.
 */
function csvRecord(fields: readonly string[]): string {
  return fields
    .map((field) =>
      /[",\r\n]/.test(field) || field !== field.trim() ? `"${field.replaceAll('"', '""')}"` : field,
    )
    .join(",");
}

/** `name=value` fields of one CSV record. */
export function csvAttributes(attributes: Iterable<readonly [string, string]>): string {
  return csvRecord(Array.from(attributes, ([name, value]) => `${name}=${value}`));
}
