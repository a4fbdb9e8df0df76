import { UserError } from "../host/errors.ts";
import { suggestName } from "../host/suggest.ts";
import type { Platform } from "./descriptor.ts";
import { parsePlatform } from "./platform.ts";

/**
 * The operating systems that containerd knows (github.com/containerd/platforms, `isKnownOS`) and those that Go compiles
 * for (`go tool dist list`), with `wasi`, which BuildKit builds for.
 */
const knownSystems =
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasi wasip1 windows zos".split(
    " ",
  );

/** The architectures that containerd (`isKnownArch`) and Go know. */
const knownArchitectures =
  "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm".split(
    " ",
  );

/** Names that these have elsewhere. */
const otherNames: Readonly<Record<string, string>> = {
  armv6: "arm/v6",
  armv6l: "arm/v6",
  armv7: "arm/v7",
  armv7l: "arm/v7",
  armv8: "arm64",
  i586: "386",
  i686: "386",
  osx: "darwin",
  win: "windows",
  x64: "amd64",
  x86: "386",
};

/** The variants of the architectures that have well-known ones. The others may have any. */
const knownVariants: Readonly<Record<string, RegExp>> = {
  amd64: /^v[1-4]$/,
  arm: /^v[5-8]$/,
  arm64: /^v(8|9)(\.[0-9])?$/,
};

/**
 * Reads a platform to build for, as {@link parsePlatform} does, and refuses names that neither containerd nor Go knows:
 * BuildKit would build an image that no machine runs, without a word.
 * @throws UserError naming `subject`
 */
export function parseKnownPlatform(text: string, subject: string): Platform {
  const platform = parsePlatform(text, subject);
  const { os, architecture, variant } = platform;
  const shown = `${subject}: ${JSON.stringify(text)}`;
  if (!knownSystems.includes(os))
    throw new UserError(`${shown}: ${unknown("operating system", os, knownSystems)}`);
  if (!knownArchitectures.includes(architecture))
    throw new UserError(`${shown}: ${unknown("architecture", architecture, knownArchitectures)}`);
  const form = knownVariants[architecture];
  if (variant === undefined || form === undefined || form.test(variant)) return platform;
  throw new UserError(
    `${shown}: ${architecture} has no variant ${JSON.stringify(variant)}; expected one such as ${architecture === "arm" ? "v6 or v7" : architecture === "arm64" ? "v8 or v9" : "v2 or v3"}, or none`,
  );
}

function unknown(kind: string, name: string, known: readonly string[]): string {
  const near = otherNames[name] ?? suggestName(name, known);
  const hint =
    near === undefined ? `expected one of ${known.join(", ")}` : `did you mean ${JSON.stringify(near)}?`;
  return `there is no ${kind} ${JSON.stringify(name)}; ${hint}`;
}
