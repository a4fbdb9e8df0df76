import { buildName } from "../../../src/image/build-version.ts";
import type { Digest } from "../../../src/image/digest.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { decodeBuildIndex, encodeBuildIndex } from "../../../src/store/build-index.ts";

/** Makes a stored build of a registry without credentials so many days older. */
export async function ageBuild(
  registry: string,
  path: string,
  version: { readonly digest: string },
  days: number,
): Promise<void> {
  const tag = buildName({ digest: version.digest as Digest, targets: [] });
  const url = `${registry}/v2/${path}/manifests/${tag}`;
  const found = await fetch(url, { headers: { accept: mediaTypes.ociIndex } });
  const build = decodeBuildIndex(Buffer.from(await found.arrayBuffer()), "the test's registry");
  const at = build.put.at - days * 24 * 60 * 60_000;
  const written = await fetch(url, {
    method: "PUT",
    headers: { "content-type": mediaTypes.ociIndex },
    body: Buffer.from(encodeBuildIndex({ ...build, put: { ...build.put, at } })),
  });
  if (!written.ok) throw new Error(`the registry answers ${written.status}`);
}

/** The tags of builds in a repository. */
export async function buildTags(registry: string, path: string): Promise<string[]> {
  const answer = await fetch(`${registry}/v2/${path}/tags/list`);
  const { tags } = (await answer.json()) as { tags: string[] | null };
  return (tags ?? []).filter((tag) => tag.startsWith("build-")).toSorted();
}
