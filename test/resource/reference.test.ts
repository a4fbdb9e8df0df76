import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { metadataOf } from "../support/runs/put-and-get.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { startRegistry } from "../support/servers/registry.ts";

const text = (...path: readonly string[]) => readFile(join(...path), "utf8");

/** What crane and skopeo pull by a reference: the digest, and each architecture that it leads to. */
async function pulled(reference: string): Promise<{ digest: string; architectures: readonly string[] }> {
  const { stdout: digest } = await execa("crane", ["digest", "--insecure", reference]);
  const { stdout: raw } = await execa("skopeo", [
    "inspect",
    "--tls-verify=false",
    "--raw",
    `docker://${reference}`,
  ]);
  const { manifests } = JSON.parse(raw) as { manifests?: { platform: { architecture: string } }[] };
  if (manifests !== undefined)
    return { digest, architectures: manifests.map(({ platform }) => platform.architecture) };
  const { stdout: config } = await execa("crane", ["config", "--insecure", reference]);
  const { architecture } = JSON.parse(config) as { architecture: string };
  return { digest, architectures: [architecture] };
}

test("reference says what is pulled: of one platform, of several, and of one of these", async () => {
  await using folder = await createPrivateFolder("test-reference");
  await using registry = await startRegistry();
  const source = { repository: `${registry.host}/app`, insecure: true };
  for (const platforms of [["linux/arm64"], ["linux/amd64", "linux/arm64"]]) {
    const put = await smallPut({ source, params: { platforms, reproducible: true } });
    const { version } = versionOf(put);
    const get = async (params: Readonly<Record<string, unknown>>) => {
      const to = join(folder.path, `${platforms.length}-${Object.keys(params).join("-")}`);
      const run = await runResource("in", { args: [to], stdin: { source, version, params } });
      const reference = await text(to, "reference");
      assert.equal(metadataOf(run, "image"), reference);
      const found = await pulled(reference);
      assert.equal(reference, `${source.repository}@${found.digest}`);
      return { ...found, digestFile: await text(to, "digest") };
    };
    const whole = await get({});
    assert.equal(`${source.repository}@${whole.digest}`, metadataOf(put, "image"));
    assert.match(put.stderr, new RegExp(`^stored as ${source.repository}@${whole.digest}$`, "m"));
    assert.deepEqual(
      whole.architectures,
      platforms.map((platform) => platform.slice("linux/".length)),
    );
    assert.equal(whole.digestFile, version.digest);
    assert.deepEqual(await get({ skip_download: true }), whole);
    const one = await get({ platform: "linux/arm64" });
    assert.deepEqual(one.architectures, ["arm64"]);
    assert.equal(one.digestFile === version.digest, platforms.length === 1);
    assert.deepEqual(await get({ platform: "linux/arm64", skip_download: true }), one);
  }
});
