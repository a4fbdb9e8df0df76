import assert from "node:assert/strict";
import { test } from "node:test";
import { formatExactPlatform } from "../../src/image/platform.ts";
import { parseKnownPlatform } from "../../src/image/platform-names.ts";

const read = (text: string) => formatExactPlatform(parseKnownPlatform(text, "platform"));

test("platforms that BuildKit builds for are taken in all their spellings", () => {
  const rows = {
    "linux/amd64": ["amd64", "x86_64", "linux/x86-64", "LINUX/AMD64", "linux/amd64/v1"],
    "linux/amd64/v3": ["linux/amd64/v3"],
    "linux/arm64": ["aarch64", "linux/aarch64", "linux/arm64/v8"],
    "linux/arm64/v9.2": ["linux/arm64/v9.2"],
    "linux/arm/v7": ["armhf", "linux/armhf", "linux/arm", "linux/arm/7"],
    "linux/arm/v6": ["armel", "linux/armel"],
    "linux/arm/v5": ["linux/arm/v5"],
    "linux/386": ["i386"],
    "linux/riscv64": ["riscv64"],
    "linux/riscv64/rva22u64": ["linux/riscv64/rva22u64"],
    "linux/ppc64le/power9": ["linux/ppc64le/power9"],
    "linux/mips64le": ["linux/mips64le"],
    "linux/loong64": ["loong64"],
    "wasi/wasm": ["wasi/wasm"],
    "windows(10.0.17763)/amd64": ["windows(10.0.17763)/amd64"],
    "freebsd/amd64": ["freebsd/amd64"],
    "darwin/arm64": ["macos/arm64", "darwin/arm64"],
  };
  for (const [name, spellings] of Object.entries(rows))
    for (const spelling of spellings) assert.equal(read(spelling), name, spelling);
});

test("a platform that no machine has is refused with the one that is meant", () => {
  const rows: Readonly<Record<string, string>> = {
    "linux/amd46": 'there is no architecture "amd46"; did you mean "amd64"?',
    "linux/x64": 'there is no architecture "x64"; did you mean "amd64"?',
    "linux/armv7": 'there is no architecture "armv7"; did you mean "arm/v7"?',
    "linxu/amd64": 'there is no operating system "linxu"; did you mean "linux"?',
    "amd64/linux": 'there is no operating system "amd64"; expected one of aix, ',
    "linux/arm/v77": 'arm has no variant "v77"; expected one such as v6 or v7, or none',
    "linux/amd64/v8": 'amd64 has no variant "v8"; expected one such as v2 or v3, or none',
  };
  for (const [text, why] of Object.entries(rows))
    assert.throws(
      () => read(text),
      (error: Error) => error.message.startsWith(`platform: ${JSON.stringify(text)}: ${why}`),
      text,
    );
});
