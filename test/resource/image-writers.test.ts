import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { hexOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { otherBase, ownBase } from "../support/images/bases.ts";
import {
  type Entry,
  packTar,
  pushLayout,
  writeBlob,
  writeDocument,
  writeIndex,
  writeLayout,
} from "../support/images/image-writer.ts";
import { wideZstd } from "../support/images/wide-zstd.ts";
import { buildGoProgram } from "../support/runs/go-program.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { runResource } from "../support/runs/resource.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";

/** The same image, of this machine's platform, alone and with that of another; both in a layout and in a registry. */
const [registry, bases] = await untilTestsEnd(startRegistry(), createPrivateFolder("test-bases"));
const alone = await writeLayout(join(bases.path, "alone"), ownBase);
const both = await writeLayout(join(bases.path, "both"), otherBase, ownBase);
const reference = `${registry.host}/base:1`;
await pushLayout(alone.folder, reference);

const image = alone.images[0];
if (image?.layers[0] === undefined) throw new Error("the base has no layer");
const [layer] = image.layers;
const configHex = hexOf(image.config.digest);
const blobOf = (folder: string, { digest }: Descriptor) => join(folder, "blobs/sha256", hexOf(digest));
const config = await readFile(blobOf(alone.folder, image.config));

const crane = (...args: string[]) =>
  execa("crane", ["pull", "--insecure", reference, ...args], { env: toolEnvironment() });
const skopeo = (to: string) => execa("skopeo", ["copy", `oci:${alone.folder}`, to]);
const source = join(import.meta.dirname, "../support/images/write-images/main.go");
const program = await buildGoProgram({ name: "write-images", source, withModules: true });
const writeImages = (form: "flat" | "export", from: string, to: string) => execa(program, [form, from, to]);

/** An archive as `docker save` writes it, of other names and other compressed layers. */
async function saved(file: string, names: { config: string; layer: string; tags?: null }, bytes = layer.tar) {
  const list = [
    { Config: names.config, RepoTags: names.tags === null ? null : ["a:1"], Layers: [names.layer] },
  ];
  const members: Entry[] = [
    { name: names.layer, content: bytes },
    { name: names.config, content: config },
    { name: "manifest.json", content: JSON.stringify(list) },
  ];
  await writeFile(file, await packTar(members));
}

/** Frames of other data, which readers skip (RFC 8878, 3.1.2): pzstd and zstd:chunked write them. */
const skippable = Buffer.from("502a4d1803000000616263", "hex");
const [head, tail] = [layer.tar.subarray(0, 70_000), layer.tar.subarray(70_000)];
const severalFrames = Buffer.concat([skippable, zstdCompressSync(head), zstdCompressSync(tail), skippable]);

/** Writes the layout with its layer in other bytes. */
async function recompressed(folder: string, mediaType: string, bytes: Buffer): Promise<void> {
  await writeLayout(folder, ownBase);
  const layers = [await writeBlob(folder, mediaType, bytes)];
  const document = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: image?.config, layers };
  await writeIndex(folder, [await writeDocument(folder, mediaTypes.ociManifest, document)]);
}

/** What stands beside an image in an index: BuildKit's attestation and cosign's signature, by their forms. */
async function artifacts(folder: string, of: Descriptor): Promise<Descriptor[]> {
  const empty = await writeDocument(folder, "application/vnd.oci.empty.v1+json", {});
  const manifest = async (more: object) =>
    writeDocument(folder, mediaTypes.ociManifest, {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: empty,
      layers: [await writeDocument(folder, "application/vnd.in-toto+json", more)],
    });
  const attestation = {
    ...(await manifest({ predicate: "provenance" })),
    platform: { os: "unknown", architecture: "unknown" },
    annotations: {
      "vnd.docker.reference.type": "attestation-manifest",
      "vnd.docker.reference.digest": of.digest,
    },
  };
  return [
    attestation,
    { ...(await manifest({ critical: "signature" })), artifactType: "application/x-signature" },
  ];
}

interface Shape {
  readonly writer: string;
  readonly shape: string;
  /** Makes the input, `folder`, which lies among the others. */
  readonly make: (folder: string) => Promise<unknown>;
  /** In the input; by default the input itself. */
  readonly path?: string;
}

const archive = (folder: string) => join(folder, "image.tar");

const shapes: readonly Shape[] = [
  {
    writer: "crane, ko, kaniko, the registry-image resource with format: oci",
    shape: "an archive whose config is called sha256:…",
    make: (folder) => crane(archive(folder)),
  },
  { writer: "crane", shape: "a layout", make: (folder) => crane("--format=oci", join(folder, "oci")) },
  {
    writer: "go-containerregistry, the registry-image resource with format: oci-layout",
    shape: "an index.json that is the image's index",
    make: (folder) => writeImages("flat", both.folder, join(folder, "oci")),
  },
  {
    writer: "go-containerregistry",
    shape: "such an index.json with an attestation and a signature beside the images",
    make: async (folder) => {
      await cp(both.folder, folder, { recursive: true });
      const manifests = both.images.map(({ manifest }) => manifest);
      const [first] = manifests;
      assert.ok(first);
      await writeIndex(folder, [...manifests, ...(await artifacts(folder, first))]);
    },
  },
  {
    writer: "containerd (ctr image export, docker save since 29)",
    shape: "an archive of several platforms",
    make: (folder) => writeImages("export", both.folder, archive(folder)),
  },
  {
    writer: "containerd",
    shape: "an archive whose index names a platform that isn't in it",
    make: async (folder) => {
      const [absent] = both.images;
      assert.ok(absent);
      const partly = join(folder, "partly");
      await cp(both.folder, partly, { recursive: true });
      for (const blob of [
        absent.manifest,
        absent.config,
        ...absent.layers.map(({ descriptor }) => descriptor),
      ])
        await rm(blobOf(partly, blob));
      await writeImages("export", partly, archive(folder));
      await rm(partly, { recursive: true });
    },
  },
  {
    writer: "skopeo",
    shape: "a layout with two tags of one image",
    make: async (folder) => {
      for (const tag of ["1", "latest"]) await skopeo(`oci:${folder}:${tag}`);
    },
  },
  {
    writer: "BuildKit with two names",
    shape: "an archive of a layout with two entries of one digest",
    make: async (folder) => {
      await cp(alone.folder, join(folder, "made"), { recursive: true });
      const entry = (name: string) => ({
        ...alone.descriptor,
        annotations: { "io.containerd.image.name": `docker.io/library/a:${name}` },
      });
      await writeIndex(join(folder, "made"), [entry("1"), entry("latest")]);
      await execa("tar", ["-cf", archive(folder), "-C", join(folder, "made"), "."]);
      await rm(join(folder, "made"), { recursive: true });
    },
  },
  {
    writer: "podman, buildah (docker-archive)",
    shape: "an archive in the form of docker save",
    make: (folder) => skopeo(`docker-archive:${archive(folder)}:app:1`),
  },
  {
    writer: "docker save, unpacked",
    shape: "a folder with links among its layers",
    make: async (folder) => {
      await skopeo(`docker-archive:${archive(folder)}:app:1`);
      await execa("tar", ["-xf", archive(folder), "-C", folder]);
      await rm(archive(folder));
    },
  },
  {
    writer: "podman, buildah (oci-archive)",
    shape: "an archive of a layout",
    make: (folder) => skopeo(`oci-archive:${archive(folder)}:app:1`),
  },
  {
    writer: "Nix dockerTools",
    shape: "an archive in gzip, without tags",
    make: async (folder) => {
      await saved(archive(folder), {
        config: `${configHex}.json`,
        layer: `${configHex}/layer.tar`,
        tags: null,
      });
      await writeFile(`${archive(folder)}.gz`, gzipSync(await readFile(archive(folder))));
      await rm(archive(folder));
    },
    path: "image.tar.gz",
  },
  {
    writer: "jib",
    shape: "an archive with config.json and layers in gzip",
    make: (folder) =>
      saved(archive(folder), { config: "config.json", layer: `${configHex}.tar.gz` }, gzipSync(layer.tar)),
  },
  {
    writer: "pack",
    shape: "an archive whose layer names begin with a slash",
    make: (folder) => saved(archive(folder), { config: `${configHex}.json`, layer: `/${configHex}.tar` }),
  },
  {
    writer: "rules_oci",
    shape: "a layout whose blobs are symlinks to another input",
    make: async (folder) => {
      await cp(alone.folder, folder, { recursive: true });
      const store = join(folder, "../store");
      await mkdir(store);
      for (const name of await readdir(join(folder, "blobs/sha256"))) {
        await rename(join(folder, "blobs/sha256", name), join(store, name));
        await symlink(join("../../../store", name), join(folder, "blobs/sha256", name));
      }
    },
  },
  {
    writer: "a writer of null for nothing",
    shape: "a layout whose entry has no platform and no annotations",
    make: async (folder) => {
      await cp(alone.folder, folder, { recursive: true });
      const entry = { ...alone.descriptor, annotations: null, platform: null, data: null, urls: null };
      const index = { schemaVersion: 2, mediaType: null, manifests: [entry], annotations: null };
      await writeFile(join(folder, "index.json"), JSON.stringify(index));
    },
  },
  {
    writer: "a writer of digests by sha512",
    shape: "an archive whose config is called by it",
    make: (folder) =>
      saved(archive(folder), {
        config: `blobs/sha512/${createHash("sha512").update(config).digest("hex")}`,
        layer: "layer.tar",
      }),
  },
  {
    writer: "pzstd, zstd:chunked",
    shape: "a layout whose layer has several frames",
    make: (folder) => recompressed(folder, mediaTypes.ociLayerZstd, severalFrames),
  },
  {
    writer: "pzstd, zstd:chunked",
    shape: "an archive whose layer has several frames",
    make: (folder) =>
      saved(archive(folder), { config: "config.json", layer: "layer.tar.zst" }, severalFrames),
  },
  {
    writer: "zstd --long=29",
    shape: "a layout whose layer has a window of 512 MiB",
    make: async (folder) => recompressed(folder, mediaTypes.ociLayerZstd, await wideZstd(layer.tar, 29)),
  },
  {
    writer: "zstd --long=29",
    shape: "an archive with a window of 512 MiB",
    make: async (folder) => {
      await skopeo(`docker-archive:${archive(folder)}:app:1`);
      await writeFile(archive(folder), await wideZstd(await readFile(archive(folder)), 29));
    },
  },
  {
    writer: "pigz",
    shape: "a layout whose layer has several members of gzip",
    make: (folder) =>
      recompressed(folder, mediaTypes.ociLayerGzip, Buffer.concat([gzipSync(head), gzipSync(tail)])),
  },
];

const dockerfile = `ARG base_image
FROM $base_image AS first
RUN cp /base /result
FROM scratch AS data
COPY --from=given /base /given
FROM \${base_image} AS last
COPY --from=data /given /given
COPY --from=first /result /first
RUN cat /base /given /first > /result
`;

for (const { writer, shape, make, path } of shapes) {
  test(`what ${writer} writes is an image arg and a named context: ${shape}`, async () => {
    await using site = await makeSite("");
    await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
    await mkdir(join(site.inputs, "base"));
    await make(join(site.inputs, "base"));
    const base = path === undefined ? "base" : `base/${path}`;
    const asLayout = `oci-layout://${base}`;
    const put = await site.put({ image_args: { base_image: base }, contexts: { given: asLayout } });
    assert.equal(await result(await site.get(put)), "base\nbase\nbase\n");
    const env = { CONTEXT: "app", IMAGE_ARG_base_image: base, TARGET: "first", UNPACK_ROOTFS: "true" };
    const task = await runResource("build", { cwd: site.inputs, env });
    assert.equal(task.status, 0, task.output);
    assert.equal(await readFile(join(site.inputs, "image/rootfs/result"), "utf8"), "base\n");
  });
}
