import { type Digest, digestOf, hexOf, isDigest } from "./digest.ts";
import { isTargetName, type TargetName } from "./target-name.ts";

/** What gets deliver by default, as the put asked. A get's own params override it. */
export interface DeliveryDefaults {
  readonly unpackRootfs: boolean;
  readonly outputOci: boolean;
}

export interface TargetVersion {
  readonly name: TargetName;
  readonly digest: Digest;
}

/**
 * A version in Concourse. It determines everything that a get of it delivers, because Concourse reuses an earlier
 * get of an equal version with equal params.
 */
export interface BuildVersion {
  /** The config digest if there is one runnable image, or the digest of the index of several platforms. */
  readonly digest: Digest;
  /** The additional targets, sorted by name. Their digests follow the same rule. */
  readonly targets: readonly TargetVersion[];
  readonly delivery: DeliveryDefaults;
  /** Distinguishes this put from every other: {@link putName}. Only set if the source says `versions: put`. */
  readonly put: string | undefined;
}

/** A version as Concourse keeps it. Empty fields are left out, so the version of a plain put only has a digest. */
export interface VersionFields {
  readonly digest: string;
  readonly targets?: string;
  readonly delivery?: string;
  readonly put?: string;
}

const deliveryForms = {
  rootfs: { unpackRootfs: true, outputOci: false },
  oci: { unpackRootfs: false, outputOci: true },
  "oci,rootfs": { unpackRootfs: true, outputOci: true },
} as const satisfies Readonly<Record<string, DeliveryDefaults>>;

const putForm = /^[A-Za-z0-9][A-Za-z0-9.:_-]{0,199}$/;

/** For each field of a version: its form, for messages, and whether a text has that form. */
export const versionForms: Readonly<
  Record<keyof VersionFields, { readonly form: string; readonly fits: (text: string) => boolean }>
> = {
  digest: { form: "sha256: and 64 hexadecimal digits", fits: isDigest },
  targets: {
    form: "name=sha256:… of each additional target, sorted by name, joined by commas",
    fits: (text) => readTargets(text) !== undefined,
  },
  delivery: {
    form: Object.keys(deliveryForms).join(" or "),
    fits: (text) => Object.hasOwn(deliveryForms, text),
  },
  put: { form: "up to 200 letters, digits and . : _ -", fits: (text) => putForm.test(text) },
};

/**
 * How a version names its put.
 * @param id unique to the put
 * @param layers the digest of the build's layers (`layersDigest`), if each is known to have the diff ID that its image's
 * config says. Concourse keeps it, so nobody who can only write to the store can change it
 */
export function putName(id: string, layers: Digest | undefined): string {
  return layers === undefined ? id : `${id}.${hexOf(layers)}`;
}

/** The layers in a name by {@link putName}. */
export function layersOfPut(name: string): Digest | undefined {
  const [, hex] = /\.([0-9a-f]{64})$/.exec(name) ?? [];
  return hex === undefined ? undefined : (`sha256:${hex}` as Digest);
}

/** The fields of a version, always in the same order. */
export function formatBuildVersion({ digest, targets, delivery, put }: BuildVersion): VersionFields {
  const form = deliveryForm(delivery);
  return {
    digest,
    ...(targets.length > 0 && { targets: formatTargets(targets) }),
    ...(form !== undefined && { delivery: form }),
    ...(put !== undefined && { put }),
  };
}

/** Reads what {@link formatBuildVersion} wrote; undefined for anything else. */
export function parseVersionFields(fields: Readonly<Record<string, unknown>>): BuildVersion | undefined {
  const { digest, targets, delivery = "", put, ...unknown } = fields;
  if (Object.keys(unknown).length > 0) return undefined;
  const read = targets === undefined ? [] : typeof targets === "string" ? readTargets(targets) : undefined;
  if (typeof digest !== "string" || !isDigest(digest) || read === undefined) return undefined;
  if (put !== undefined && !(typeof put === "string" && putForm.test(put))) return undefined;
  const asked = deliveryOf(delivery);
  return asked && { digest, targets: read, delivery: asked, put };
}

/**
 * The name under which a store keeps the build of a version: `build-` and 64 hex digits. Without additional targets
 * these are the digits of `digest`. With additional targets they come from a digest over `digest` and the targets.
 * Delivery and `put` don't change the name. In a registry the name is a tag. The form `sha256-<hex>` isn't used,
 * because it belongs to the referrers fallback (OCI distribution-spec, referrers tag schema).
 */
export function buildName({ digest, targets }: Pick<BuildVersion, "digest" | "targets">): string {
  if (targets.length === 0) return `build-${hexOf(digest)}`;
  const stored = JSON.stringify({ digest, targets: formatTargets(targets) });
  return `build-${hexOf(digestOf(Buffer.from(stored)))}`;
}

/** Whether a text has the form of {@link buildName}. */
export function isBuildName(text: string): boolean {
  return /^build-[0-9a-f]{64}$/.test(text);
}

/** Additional targets in the order in which a version names them. */
export function sortedTargets<T extends Pick<TargetVersion, "name">>(targets: readonly T[]): T[] {
  return targets.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function formatTargets(targets: readonly TargetVersion[]): string {
  return sortedTargets(targets)
    .map(({ name, digest }) => `${name}=${digest}`)
    .join(",");
}

function readTargets(text: string): readonly TargetVersion[] | undefined {
  const targets: TargetVersion[] = [];
  for (const part of text.split(",")) {
    const [name = "", digest = "", ...more] = part.split("=");
    const last = targets.at(-1);
    const isNext = last === undefined || last.name < name;
    if (!isTargetName(name) || !isDigest(digest) || more.length > 0 || !isNext) return undefined;
    targets.push({ name, digest });
  }
  return targets;
}

function deliveryForm({ unpackRootfs, outputOci }: DeliveryDefaults): string | undefined {
  return Object.entries(deliveryForms).find(
    ([, form]) => form.unpackRootfs === unpackRootfs && form.outputOci === outputOci,
  )?.[0];
}

function deliveryOf(text: unknown): DeliveryDefaults | undefined {
  if (text === "") return { unpackRootfs: false, outputOci: false };
  return Object.entries(deliveryForms).find(([name]) => name === text)?.[1];
}
