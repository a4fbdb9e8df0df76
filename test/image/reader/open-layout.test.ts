import assert from "node:assert/strict";
import { mkdir, readdir, rename, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { UserError } from "../../../src/host/errors.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import type { Descriptor } from "../../../src/image/descriptor.ts";
import { digestOf } from "../../../src/image/digest.ts";
import { blobPath } from "../../../src/image/layout.ts";
import { mediaTypes } from "../../../src/image/media-types.ts";
import { openImageArg } from "../../../src/image/reader/open-image.ts";
import {
  type MadeLayout,
  nativePlatform,
  writeBlob,
  writeDocument,
  writeIndex,
  writeLayout,
} from "../../support/images/image-writer.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

const absent = digestOf(Buffer.from("absent"));

interface Refused {
  readonly what: string;
  /** Spoils a good layout of one image. */
  readonly spoil: (layout: MadeLayout) => Promise<unknown>;
  readonly message: RegExp;
}

/** Has `index.json` name one descriptor, which need not be one. */
const naming = (given: object) => (layout: MadeLayout) =>
  writeIndex(layout.folder, [{ ...layout.descriptor, ...given }]);

/** Puts so many indexes around what is there. */
async function nest({ folder, descriptor }: MadeLayout, depth: number): Promise<void> {
  let top: Descriptor = descriptor;
  for (let level = 0; level < depth; level++) {
    const mediaType = mediaTypes.ociIndex;
    top = await writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, manifests: [top] });
  }
  await writeIndex(folder, [top]);
}

const refused: readonly Refused[] = [
  {
    what: "another version of the layout",
    spoil: ({ folder }) => writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}'),
    message: /imageLayoutVersion "2\.0\.0"; expected "1\.0\.0"/,
  },
  ...[
    ["a digest that is a path", "sha256:../../../etc/passwd"],
    ["a digest in upper case", `sha256:${"A".repeat(64)}`],
    ["a digest that is short", "sha256:abc"],
    ["a digest of another algorithm", `md5:${"0".repeat(32)}`],
  ].map(([what = "", digest]) => ({
    what,
    spoil: naming({ digest }),
    message:
      /index\.json: manifests\[0\]\.digest: expected sha256: and 64 lower-case hex digits, found "\w+:/,
  })),
  {
    what: "a digest by sha512",
    spoil: naming({ digest: `sha512:${"0".repeat(128)}` }),
    message:
      /manifests\[0\]\.digest: expected sha256: .*, found "sha512:0+": copy the image with sha256 digests/,
  },
  { what: "no image", spoil: ({ folder }) => writeIndex(folder, []), message: /index\.json lists no image/ },
  {
    what: "two images",
    spoil: ({ folder, descriptor }) => writeIndex(folder, [descriptor, { ...descriptor, digest: absent }]),
    message: /holds 2 images \(sha256:.*\); expected one/,
  },
  {
    what: "a manifest that isn't there",
    spoil: naming({ digest: absent }),
    message: /lists no image; it lacks the manifest sha256:/,
  },
  {
    what: "indexes in indexes without end",
    spoil: (layout) => nest(layout, 20),
    message: /indexes nest more than 8 deep/,
  },
  {
    what: "an index of other platforms",
    spoil: async ({ folder }) => {
      const other = { os: "linux", architecture: "wasm" };
      await writeLayout(
        folder,
        { platform: other, layers: [] },
        { platform: other, layers: [[{ name: "a" }]] },
      );
    },
    message: /the image is for linux\/wasm, but the build is for linux\//,
  },
  {
    what: "a document that is index and manifest at once",
    spoil: async ({ folder, images: [image] }) => {
      const mediaType = mediaTypes.ociManifest;
      const both = { schemaVersion: 2, mediaType, config: image?.config, layers: [], manifests: [] };
      await writeIndex(folder, [await writeDocument(folder, mediaType, both)]);
    },
    message: /has the fields of an index \(manifests\) and of a manifest/,
  },
  {
    what: "a media type that its document denies",
    spoil: naming({ mediaType: mediaTypes.dockerManifest }),
    message:
      /says that its media type is "application\/vnd\.oci\.image\.manifest.*but its descriptor says .*docker/,
  },
  {
    what: "inline data that isn't its digest's",
    spoil: naming({ data: Buffer.from("{}").toString("base64") }),
    message: /its inline data has another size or digest/,
  },
  {
    what: "a config of 5 MiB",
    spoil: async ({ folder }) => {
      const config = await writeBlob(folder, mediaTypes.ociConfig, Buffer.alloc(5 * 1024 * 1024));
      const mediaType = mediaTypes.ociManifest;
      const manifest = { schemaVersion: 2, mediaType, config, layers: [] };
      await writeIndex(folder, [await writeDocument(folder, mediaType, manifest)]);
    },
    message: /has 5242880 bytes; such a document may have 4194304 at most/,
  },
  {
    what: "an index.json of 5 MiB",
    spoil: ({ folder }) => writeFile(join(folder, "index.json"), Buffer.alloc(5 * 1024 * 1024)),
    message: /index\.json: has 5242880 bytes; expected 4194304 at most/,
  },
  {
    what: "a layer that is only elsewhere, by its urls",
    spoil: async ({ folder, images: [image] }) => {
      const mediaType = mediaTypes.ociManifest;
      const layers = [
        { ...image?.layers[0]?.descriptor, digest: absent, urls: ["http://127.0.0.1:1/layer"] },
      ];
      const manifest = { schemaVersion: 2, mediaType, config: image?.config, layers };
      await writeIndex(folder, [await writeDocument(folder, mediaType, manifest)]);
    },
    message:
      /the image lacks its layer sha256:\w+, which was left out as it can be had from http:.*put the layer into the layout/,
  },
  {
    what: "an encrypted layer",
    spoil: async ({ folder, images: [image] }) => {
      const mediaType = mediaTypes.ociManifest;
      const layers = image?.layers.map(({ descriptor }) => ({
        ...descriptor,
        mediaType: `${descriptor.mediaType}+encrypted`,
      }));
      const manifest = { schemaVersion: 2, mediaType, config: image?.config, layers };
      await writeIndex(folder, [await writeDocument(folder, mediaType, manifest)]);
    },
    message: /layer sha256:\w+ is encrypted \(application.*\+gzip\+encrypted\); decrypt the image first/,
  },
  ...[
    { artifactType: "application/spdx+json", configType: "application/vnd.oci.empty.v1+json" },
    { configType: "application/vnd.cncf.helm.config.v1+json" },
  ].map(({ artifactType, configType }) => ({
    what: `an artifact of type ${artifactType ?? configType}`,
    spoil: async ({ folder }: MadeLayout) => {
      const mediaType = mediaTypes.ociManifest;
      const config = await writeDocument(folder, configType, {});
      const manifest = { schemaVersion: 2, mediaType, artifactType, config, layers: [] };
      await writeIndex(folder, [await writeDocument(folder, mediaType, manifest)]);
    },
    message: new RegExp(
      `lists no image; sha256:\\w+ in it is an artifact of type ${(artifactType ?? configType).replaceAll(/[.+]/g, "\\$&")}`,
    ),
  })),
  {
    what: "a layer that was cut",
    spoil: async ({ folder, images: [image] }) =>
      truncate(join(folder, blobPath(image?.layers[0]?.descriptor.digest ?? absent)), 20),
    message: /layer sha256:.* has 20 bytes; its manifest says \d+: it is damaged/,
  },
  {
    what: "a blobs folder that is a symlink out of it",
    spoil: async ({ folder }) => {
      await rename(join(folder, "blobs"), join(folder, "../elsewhere"));
      await symlink("../elsewhere", join(folder, "blobs"));
    },
    message: /symbolic link that leads out of the inputs/,
  },
  {
    what: "an index.json that is a symlink",
    spoil: async ({ folder }) => {
      await rename(join(folder, "index.json"), join(folder, "../index.json"));
      await symlink("../index.json", join(folder, "index.json"));
    },
    message: /index\.json" is reached by a symbolic link that leads out of the inputs/,
  },
];

/** Opens the layout as it lies there, or packed into an archive. */
async function open(spoil: Refused["spoil"], form: "folder" | "archive"): Promise<void> {
  await using folder = await createPrivateFolder("test-layout-arg");
  const layout = await writeLayout(join(folder.path, "layout"), { layers: [[{ name: "a", content: "a" }]] });
  await spoil(layout);
  const workspace = join(folder.path, "workspace");
  await mkdir(workspace);
  const archive = join(folder.path, "image.tar");
  await execa("tar", ["-cf", archive, "-C", layout.folder, ...(await readdir(layout.folder))]);
  const path = form === "folder" ? layout.folder : archive;
  const { log, signal } = createTestStep();
  const name = "image_args.base";
  // The layout's own folder: in a put it is the folder of all inputs.
  await openImageArg({ name, path, root: path, workspace, platforms: [nativePlatform], log, signal });
}

test("a layout that isn't spoilt is an image, as a folder and as an archive, nested within reason too", async () => {
  for (const form of ["folder", "archive"] as const) {
    await open(async () => {}, form);
    await open((layout) => nest(layout, 3), form);
  }
});

for (const { what, spoil, message } of refused) {
  test(`a layout with ${what} is refused by its param's name`, async () => {
    await assert.rejects(open(spoil, "folder"), (thrown: unknown) => {
      assert.ok(thrown instanceof UserError, String(thrown instanceof Error ? thrown.stack : thrown));
      assert.match(thrown.message, /^image_args\.base: /);
      assert.match(thrown.message, message);
      return true;
    });
    await assert.rejects(open(spoil, "archive"), (thrown: unknown) => {
      assert.ok(thrown instanceof UserError, String(thrown instanceof Error ? thrown.stack : thrown));
      assert.match(thrown.message, /^image_args\.base: /);
      return true;
    });
  });
}
