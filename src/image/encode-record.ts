import { maskCredentials } from "../host/mask-credentials.ts";
import type { BuildRecord } from "./build-record.ts";
import { cutRecord } from "./cut-record.ts";

/**
 * Bytes of a record's JSON. It is stored in an annotation of the build index, where quoting makes it larger by a
 * third or so, and some registries take no manifests of more than 256 KiB.
 */
const recordLimit = 128 * 1024;

/** Characters of a step's name. */
const stepNameLimit = 300;

/**
 * A record as the text of `build.json`, without secrets. If it is too large, its largest fields are cut, see
 * {@link cutRecord}. Pure.
 * @param secrets texts that must not be in it, see {@link maskCredentials}
 * @returns undefined if it is too large without these fields, too
 */
export function encodeRecord(record: BuildRecord, secrets: readonly string[]): string | undefined {
  const masked = shortNamed(masking(record, secrets) as BuildRecord);
  const text = JSON.stringify(cutRecord(masked, recordLimit));
  return Buffer.byteLength(text) <= recordLimit ? text : undefined;
}

/** The same value with credentials masked in all its texts, names of fields included. */
function masking(value: unknown, secrets: readonly string[]): unknown {
  if (typeof value === "string") return maskCredentials(value, secrets);
  if (Array.isArray(value)) return value.map((item) => masking(item, secrets));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [maskCredentials(key, secrets), masking(item, secrets)]),
  );
}

/** Names are cut after masking: a cut secret might not be recognised. */
function shortNamed(record: BuildRecord): BuildRecord {
  const steps = record.steps.map((step) =>
    step.name.length <= stepNameLimit ? step : { ...step, name: `${step.name.slice(0, stepNameLimit - 1)}…` },
  );
  return { ...record, steps };
}
