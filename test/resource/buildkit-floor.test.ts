import assert from "node:assert/strict";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { buildkitFloor, oldRunc, oldVersion } from "../../src/builder/engine/version.ts";
import { nativePlatform } from "../support/images/image-writer.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { checkout, toolEnvironment } from "../support/runs/test-step.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

/** As `buildctl debug info` has it. */
const info = (version: string) => `BuildKit:\tgithub.com/moby/buildkit ${version} 1234abcd\n`;

test("a version older than the floor is told; a newer one and a build without a version are good", () => {
  for (const version of ["v0.31.1", "v0.9.3", "0.28.99", "v0.31.1-rc1", "v0.31.1+debian"]) {
    const said = /^is version 0\.\d+\.\d+, which has known security holes; 0\.31\.2 or newer/;
    assert.match(oldVersion(info(version)) ?? "", said);
  }
  for (const version of [
    `v${buildkitFloor}`,
    "v0.34.2",
    "v1.0.0",
    "v0.32.0-rc1",
    "v0.0.0+unknown",
    "(devel)",
  ])
    assert.equal(oldVersion(info(version)), undefined, version);
});

test("a runc with known escapes is told by its version, and another runtime is none of our business", () => {
  for (const version of ["1.0.0-rc95", "1.1.15", "1.1.5+ds1", "1.2.7", "1.3.2", "1.3.0-rc.1", "1.4.0-rc.2"])
    assert.match(
      oldRunc(`runc version ${version}\nspec: 1.0.2\n`) ?? "",
      /^is version .*CVE-2025-31133/,
      version,
    );
  for (const said of [
    "runc version 1.2.8",
    "runc version 1.2.10+ds",
    "runc version 1.3.3",
    "runc version 1.4.0-rc.3",
    "runc version 1.5.2",
    "crun version 1.8",
    "",
  ])
    assert.equal(oldRunc(said), undefined, said);
});

/**
 * A folder for PATH whose buildctl hears from the daemon at `address` that it is old, and is buildctl otherwise.
 * @param stated what a build's progress has in place of the line with the versions
 */
async function makeBuildctl(
  folder: string,
  { address, stated }: { readonly address: string; readonly stated: string },
): Promise<string> {
  const { stdout: real } = await execa("which", ["buildctl"], { env: toolEnvironment() });
  const script = `#!/bin/sh
case "$*" in
*"${address}"*"debug info"*) echo 'BuildKit: github.com/moby/buildkit v0.28.0 1234abcd' ;;
*"${address}"*" build "*)
  progress=$(mktemp -p "${folder}")
  ${real} "$@" 2>"$progress"
  status=$?
  sed 's/^{"buildctl":.*/${stated}/' "$progress" >&2
  rm "$progress"
  exit $status
  ;;
*) exec ${real} "$@" ;;
esac
`;
  const bin = await mkdtemp(join(folder, "bin-"));
  await writeFile(join(bin, "buildctl"), script);
  await chmod(join(bin, "buildctl"), 0o755);
  return bin;
}

test("a BuildKit elsewhere with known holes is refused, and as one of several nodes passed over", async () => {
  await using site = await makeSite("");
  await using old = await startBuildkitd();
  const stating = { address: old.address, stated: '{"buildctl":"v0.34.2","buildkitd":"v0.28.0"}' };
  const ours = await makeBuildctl(site.folder, stating);
  const foreign = await makeBuildctl(site.folder, { ...stating, stated: "" });
  const path = `${dirname(process.execPath)}:${checkout}/.tools/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  const put = (source: Readonly<Record<string, unknown>>, bin = ours) =>
    site.put({}, source, { env: { PATH: `${bin}:${path}` } });
  const platforms = [`linux/${nativePlatform.architecture}`];
  for (const [source, bin] of [
    [{ buildkit: { address: old.address } }, ours],
    [{ buildkit: { address: old.address } }, foreign],
    [{ nodes: [{ address: old.address, platforms }] }, ours],
  ] as const) {
    const refused = await put(source, bin);
    assertFailedCleanly(
      refused,
      /BuildKit at unix:\S+ is version 0\.28\.0, .*holes; 0\.31\.2 or newer is needed/,
    );
    assert.doesNotMatch(refused.stderr, /COPY/);
  }
  await using good = await startBuildkitd();
  const built = await put({ nodes: [old, good].map(({ address }) => ({ address, platforms })) });
  versionOf(built);
  assert.match(built.stderr, new RegExp(`building with BuildKit at ${good.address}`));
});
