/** The fields of one record, in their order. A name may occur twice. */
export type AttributePairs = readonly (readonly [name: string, value: string])[];

/**
 * One CSV record (RFC 4180), as buildctl reads `--output`, `--secret`, `--import-cache`, `--export-cache` and
 * `--registry-auth-tlscontext`. A field with a comma, a quote, a line break or outer white space is quoted, so that
 * a value can't add a field.
 */
function csvRecord(fields: readonly string[]): string {
  return fields
    .map((field) =>
      /[",\r\n]/.test(field) || field !== field.trim() ? `"${field.replaceAll('"', '""')}"` : field,
    )
    .join(",");
}

/** `name=value` fields of one CSV record. */
export function csvAttributes(attributes: AttributePairs): string {
  return csvRecord(attributes.map(([name, value]) => `${name}=${value}`));
}
