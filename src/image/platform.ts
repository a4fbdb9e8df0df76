import { UserError } from "../host/errors.ts";
import type { Platform } from "./descriptor.ts";

const part = /^[a-z0-9_.-]+$/i;
const osPart = /^([a-z0-9_-]+)(?:\(([a-z0-9_.-]*)\))?$/i;
const example = "linux/arm64 or linux/arm/v7";
// Go's names of the architectures that it compiles for (`go tool dist list`), and their other common spellings.
const architectures =
  "386 i386 amd64 x86_64 x86-64 arm armhf armel arm64 aarch64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le riscv64 s390x wasm".split(
    " ",
  );

/**
 * A regular expression, without anchors, for what {@link parsePlatform} reads. It takes an architecture alone only
 * in lower case.
 */
export const platformPattern = `([A-Za-z0-9_-]+(\\([A-Za-z0-9_.-]*\\))?(\\/[A-Za-z0-9_.-]+){1,2}|${architectures.join("|")})`;

/**
 * Reads `os/architecture[/variant]` as BuildKit and containerd write it, and returns its normal form. An
 * architecture alone means Linux. `windows(10.0.17763)/amd64` gives an `os.version`.
 * @throws UserError naming `subject`
 */
export function parsePlatform(text: string, subject: string): Platform {
  const parts = text.split("/");
  const [os = "", architecture, variant] = parts;
  if (parts.length === 1 && isArchitecture(os)) return normalPlatform({ os: "linux", architecture: os });
  const match = osPart.exec(os);
  const wellFormed = parts.length <= 3 && match !== null && parts.slice(1).every((name) => part.test(name));
  if (!wellFormed || architecture === undefined) {
    throw new UserError(
      `${subject}: ${JSON.stringify(text)} is not a platform; expected os/architecture[/variant], for example ${example}`,
    );
  }
  const [, osName = "", osVersion] = match;
  return normalPlatform({ os: osName, architecture, variant, ...(osVersion && { "os.version": osVersion }) });
}

/** `os/architecture[/variant]`, as {@link parsePlatform} reads it. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter((name) => name !== undefined && name !== "").join("/");
}

/** The same with the version of the operating system, as BuildKit reads it: `windows(10.0.17763)/amd64`. */
export function formatExactPlatform({ os, "os.version": osVersion, ...rest }: Platform): string {
  return formatPlatform({ ...rest, os: osVersion === undefined ? os : `${os}(${osVersion})` });
}

/**
 * The normal form of a platform, by the rules of containerd's `platforms` package: `x86_64` is amd64, `aarch64` is
 * arm64, and arm without a variant is v7. amd64/v1 and arm64/v8 are written without their variant.
 */
export function normalPlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase();
  const { architecture, variant } = normalArchitecture(
    platform.architecture.toLowerCase(),
    (platform.variant ?? "").toLowerCase(),
  );
  const osVersion = platform["os.version"];
  return {
    os: os === "macos" ? "darwin" : os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(osVersion !== undefined && osVersion !== "" && { "os.version": osVersion }),
  };
}

function normalArchitecture(
  architecture: string,
  variant: string,
): { architecture: string; variant: string } {
  switch (architecture) {
    case "i386":
      return { architecture: "386", variant: "" };
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: variant === "v1" ? "" : variant };
    case "aarch64":
    case "arm64":
      return { architecture: "arm64", variant: normalArm64Variant(variant) };
    case "armhf":
      return { architecture: "arm", variant: "v7" };
    case "armel":
      return { architecture: "arm", variant: "v6" };
    case "arm":
      return { architecture: "arm", variant: variant === "" ? "v7" : variant.replace(/^[5-8]$/, "v$&") };
    default:
      return { architecture, variant };
  }
}

function normalArm64Variant(variant: string): string {
  if (["8", "v8", "v8.0"].includes(variant)) return "";
  return ["9", "9.0", "v9.0"].includes(variant) ? "v9" : variant;
}

/** The platform of a Linux host, from Node's name for its architecture (`process.arch`). */
export function hostPlatform(arch: string): Platform {
  // Node has one name for both byte orders of POWER; Linux distributions only ship the little-endian one.
  const names: Readonly<Record<string, string>> = {
    x64: "amd64",
    ia32: "386",
    ppc64: "ppc64le",
    mipsel: "mipsle",
  };
  return normalPlatform({ os: "linux", architecture: names[arch] ?? arch });
}

/** Whether both are the same platform, in any spelling. `os.version` is ignored. */
export function isSamePlatform(one: Platform, other: Platform): boolean {
  return formatPlatform(normalPlatform(one)) === formatPlatform(normalPlatform(other));
}

/**
 * The platforms whose programs run on `platform`, best first: its own variant, the older ones (arm/v7, v6, v5;
 * amd64/v3, v2, v1; arm64/v9.1, v9, v8.6 …), then the 32-bit architecture that the 64-bit one also runs.
 */
export function runnablePlatforms(platform: Platform): readonly Platform[] {
  const own = normalPlatform(platform);
  const as = (architecture: string, variant?: string): Platform =>
    normalPlatform({ ...own, architecture, variant });
  const variant = own.variant ?? "";
  switch (own.architecture) {
    case "amd64":
      return [...(variants(variant || "v1", 1)?.map((name) => as("amd64", name)) ?? [own]), as("386")];
    case "arm":
      return variants(variant, 5)?.map((name) => as("arm", name)) ?? [own];
    case "arm64": {
      const arm64 = arm64Variants(variant || "v8")?.map((name) => as("arm64", name)) ?? [own];
      return [...arm64, ...runnablePlatforms(as("arm", "v8"))];
    }
    default:
      return [own];
  }
}

/** `v3` down to `v1`. Each variant includes the one below. */
function variants(highest: string, lowest: number): string[] | undefined {
  const level = /^v([1-9])$/.exec(highest)?.[1];
  if (level === undefined) return undefined;
  const names: string[] = [];
  for (let number = Number(level); number >= lowest; number--) names.push(`v${number}`);
  return names.length > 0 ? names : undefined;
}

/** Armv9.n includes Armv8.(n+5) (Arm Architecture Reference Manual, A2.1). */
function arm64Variants(highest: string): string[] | undefined {
  const match = /^v([89])(?:\.([0-9]))?$/.exec(highest);
  if (match === null) return undefined;
  const minor = Number(match[2] ?? 0);
  return match[1] === "9" ? [...revisions(9, minor), ...revisions(8, minor + 5)] : revisions(8, minor);
}

/** `v8.2`, `v8.1`, `v8`. */
function revisions(major: number, minor: number): string[] {
  const names: string[] = [];
  for (let number = minor; number > 0; number--) names.push(`v${major}.${number}`);
  return [...names, `v${major}`];
}

/**
 * Chooses the image to deliver from those of an index. If a platform is wanted, it is the image for that platform,
 * or for the best older variant of the same architecture. Otherwise it is the only image, whatever its platform, or
 * the best one that runs on `host`.
 * @throws UserError that lists the platforms of the images
 */
export function choosePlatform<T extends { readonly platform: Platform }>(
  images: readonly T[],
  wanted: Platform | undefined,
  host: Platform,
): T {
  const [only] = images;
  if (wanted === undefined && only !== undefined && images.length === 1) return only;
  const architecture = wanted && normalPlatform(wanted).architecture;
  for (const candidate of runnablePlatforms(wanted ?? host)) {
    if (architecture !== undefined && candidate.architecture !== architecture) break;
    const found = images.find((image) => satisfies(image.platform, candidate));
    if (found !== undefined) return found;
  }
  const there = [...new Set(images.map((image) => formatPlatform(image.platform)))].join(", ") || "none";
  throw new UserError(
    wanted === undefined
      ? `the image has no build for this worker's platform ${formatPlatform(host)}, only for ${there}; name one of these as "platform"`
      : `the image has no build for platform ${formatPlatform(wanted)}; it has ${there}`,
  );
}

function satisfies(image: Platform, wanted: Platform): boolean {
  if (!isSamePlatform(image, wanted)) return false;
  const version = wanted["os.version"];
  // A Windows image runs on any revision (the last part of the version) of its build.
  return version === undefined || buildOf(image["os.version"] ?? "") === buildOf(version);
}

function buildOf(osVersion: string): string {
  return osVersion.split(".").slice(0, 3).join(".");
}

function isArchitecture(name: string): boolean {
  return architectures.includes(name.toLowerCase());
}
