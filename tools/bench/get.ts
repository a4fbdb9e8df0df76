import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { buildName, parseVersionFields, type VersionFields } from "../../src/image/build-version.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { buildAnnotations } from "../../src/store/build-index.ts";
import { toolEnvironment } from "../../test/support/runs/test-step.ts";
import { type Registry, startRegistry } from "../../test/support/servers/registry.ts";
import { type Bundle, peerBundle, peerCommit } from "./bundle.ts";
import { onFreshDisk } from "./disk.ts";
import { benchImage, type Compression } from "./images.ts";
import { compareEach, type Result, timed } from "./measure.ts";

/** Params of a get, by what it delivers. */
const forms = {
  rootfs: { unpack_rootfs: true, image_tar: false },
  "image.tar": {},
  "image/": { output_oci: true },
  "rootfs and image.tar": { unpack_rootfs: true },
} as const;
export type DeliveredForm = keyof typeof forms;
export const deliveredForms = Object.keys(forms) as DeliveredForm[];

/**
 * A get from a registry of an image of seven layers, 1 GB, which a put has stored, against {@link peerCommit}. Once by a version
 * that names the image only, and once by one of `versions: put`, which vouches for the layers that the put has proven.
 */
export async function benchGet(
  bundle: Bundle,
  { form, compression, rounds }: { form: DeliveredForm; compression: Compression; rounds: number },
): Promise<Result[]> {
  await using peer = await peerBundle(peerCommit);
  await using registry = await startRegistry();
  const { digest, put } = await storeInRegistry(registry, bundle, compression);
  const get = (by: Bundle, name: Repository, version: VersionFields) => {
    const source = { repository: `${registry.host}/${name}`, insecure: true };
    const input = JSON.stringify({ source, version, params: forms[form] });
    return onFreshDisk((disk) => timed(by.in, [disk], { input }));
  };
  return await compareEach(`get of ${form}, ${compression}, from a registry`, rounds, {
    ours: [
      { name: "versions: image", run: () => get(bundle, "bench", { digest }) },
      {
        name: "versions: put",
        run: () => get(bundle, "bench", { digest, ...(put !== undefined && { put }) }),
      },
    ],
    peer: { name: peerCommit, run: () => get(peer, "earlier", { digest }) },
  });
}

/** Where the build index is as a put of now has left it, and where it is as one of {@link peerCommit} would. */
type Repository = "bench" | "earlier";

/** Puts the image, whose layers the put's daemon unpacks. Returns the version. */
async function storeInRegistry(
  { host, url }: Registry,
  bundle: Bundle,
  compression: Compression,
): Promise<VersionFields> {
  const { folder } = await benchImage("debian");
  const base = `${host}/base:latest`;
  const tls = "--dest-tls-verify=false";
  await execa("skopeo", ["copy", "-q", tls, `oci:${folder}:${compression}`, `docker://${base}`]);
  await using inputs = await createPrivateFolder("bench-put");
  await mkdir(join(inputs.path, "app"));
  await writeFile(join(inputs.path, "app/Dockerfile"), `FROM ${base}\nRUN true\n`);
  const source = { repository: `${host}/bench`, insecure: true, versions: "put" };
  const { stdout } = await execa(bundle.out, [inputs.path], {
    input: JSON.stringify({ source, params: { context: "app", compression } }),
    env: toolEnvironment(),
  });
  const { version } = JSON.parse(stdout) as { version: VersionFields };
  const parsed = parseVersionFields({ ...version });
  if (parsed === undefined) throw new Error(`the put answers ${stdout}`);
  const tag = buildName(parsed);
  const stored = await fetch(`${url}/v2/bench/manifests/${tag}`, {
    headers: { accept: mediaTypes.ociIndex },
  });
  const { annotations, ...index } = (await stored.json()) as BuildIndex;
  const [{ digest }] = index.manifests;
  const images = ["bench", "earlier"].map((name) => `docker://${host}/${name}`);
  const [from, to] = [`${images[0]}@${digest}`, `${images[1]}:image`];
  await execa("skopeo", [
    "copy",
    "-q",
    "--all",
    "--preserve-digests",
    "--src-tls-verify=false",
    tls,
    from,
    to,
  ]);
  const flags = {
    "org.concourse-ci.oci-build.unpack-rootfs": "false",
    "org.concourse-ci.oci-build.output-oci": "false",
  };
  const earlier = { ...annotations, ...flags, [buildAnnotations.version]: version.digest };
  const written = await fetch(`${url}/v2/earlier/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": mediaTypes.ociIndex },
    body: JSON.stringify({ ...index, annotations: earlier }),
  });
  if (!written.ok) throw new Error(`the build index is refused: ${written.status}`);
  return version;
}

interface BuildIndex {
  readonly manifests: readonly [{ readonly digest: string }];
  readonly annotations: Readonly<Record<string, string>>;
}
