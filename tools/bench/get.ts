import { execa } from "execa";
import { type BuildVersion, buildName } from "../../src/image/build-version.ts";
import type { Digest } from "../../src/image/digest.ts";
import { readTree, versionOf } from "../../src/image/image-tree.ts";
import { layoutBlobs, openLayout } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { buildAnnotations, encodeBuildIndex } from "../../src/store/build-index.ts";
import { type Registry, startRegistry } from "../../test/support/servers/registry.ts";
import { type Bundle, peerBundle, peerCommit } from "./bundle.ts";
import { onFreshDisk } from "./disk.ts";
import { benchImage, type Compression } from "./images.ts";
import { compare, type Result, timed } from "./measure.ts";

/** Params of a get, by what it delivers. */
const forms = {
  rootfs: { unpack_rootfs: true, image_tar: false },
  "image.tar": {},
  "image/": { output_oci: true },
  "rootfs and image.tar": { unpack_rootfs: true },
} as const;
export type DeliveredForm = keyof typeof forms;
export const deliveredForms = Object.keys(forms) as DeliveredForm[];

/** A get from a registry of an image of seven layers, 1 GB, against {@link peerCommit}. */
export async function benchGet(
  bundle: Bundle,
  { form, compression, rounds }: { form: DeliveredForm; compression: Compression; rounds: number },
): Promise<Result> {
  await using peer = await peerBundle(peerCommit);
  await using registry = await startRegistry();
  const digest = await storeInRegistry(registry, compression);
  const get = (by: Bundle, name: Repository) => {
    const source = { repository: `${registry.host}/${name}`, insecure: true };
    const input = JSON.stringify({ source, version: { digest }, params: forms[form] });
    return onFreshDisk((disk) => timed(by.in, [disk], { input }));
  };
  return await compare(`get of ${form}, ${compression}, from a registry`, rounds, [
    { name: "get", run: () => get(bundle, "bench") },
    { name: peerCommit, run: () => get(peer, "earlier") },
  ]);
}

/** What stored the image there: a put of now, or one of {@link peerCommit}. */
type Repository = "bench" | "earlier";

/** Pushes the image, and the build index as each of the two leaves it. Returns the image's version. */
async function storeInRegistry({ host, url }: Registry, compression: Compression): Promise<Digest> {
  const { folder } = await benchImage("debian");
  const { index } = await openLayout(folder, folder);
  const descriptor = index.manifests.find(
    ({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === compression,
  );
  if (descriptor === undefined) throw new Error(`${folder} has no image in ${compression}`);
  const tree = await readTree(await layoutBlobs(folder, folder), descriptor, AbortSignal.any([]));
  const digest = versionOf(tree);
  const delivery = { unpackRootfs: false, outputOci: false };
  const version: BuildVersion = { digest, targets: [], delivery, put: undefined };
  const targets = [{ name: "", descriptor }] as const;
  const put = { id: "bench", at: 0, variant: undefined, metadata: [], record: undefined };
  const text = Buffer.from(encodeBuildIndex({ version, targets, put })).toString("utf8");
  const { annotations, ...rest } = JSON.parse(text) as { annotations: Readonly<Record<string, string>> };
  const flags = ["unpack-rootfs", "output-oci"].map((name) => [
    `org.concourse-ci.oci-build.${name}`,
    "false",
  ]);
  const own = { ...annotations, [buildAnnotations.version]: digest, ...Object.fromEntries(flags) };
  await push("bench", text);
  await push("earlier", JSON.stringify({ ...rest, annotations: own }));
  return digest;

  async function push(name: Repository, build: string): Promise<void> {
    const to = `docker://${host}/${name}:image`;
    await execa("skopeo", ["copy", "-q", "--dest-tls-verify=false", `oci:${folder}:${compression}`, to]);
    const stored = await fetch(`${url}/v2/${name}/manifests/${buildName(version)}`, {
      method: "PUT",
      headers: { "content-type": mediaTypes.ociIndex },
      body: build,
    });
    if (!stored.ok) throw new Error(`the build index is refused: ${stored.status}`);
  }
}
