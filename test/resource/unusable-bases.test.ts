import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import {
  busyboxLayer,
  packTar,
  pushLayout,
  writeBlob,
  writeDocument,
  writeIndex,
  writeLayout,
} from "../support/images/image-writer.ts";
import { wideZstd } from "../support/images/wide-zstd.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { rawTar } from "../support/tar/raw-tar.ts";

const [registry] = await untilTestsEnd(startRegistry());
const tar = await packTar(await busyboxLayer());

interface Row {
  readonly what: string;
  /** The layer's media type and bytes, or the config's media type of what is no image. */
  readonly layer?: readonly [type: string, bytes: () => Promise<Buffer> | Buffer];
  readonly configType?: string;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly message: RegExp;
}

const mistyped =
  /a layer of a base image can't be unpacked \(.*\): it is damaged or encrypted, or its media type names another/;

const rows: readonly Row[] = [
  {
    what: "a layer in gzip whose media type is that of a plain one",
    layer: [mediaTypes.ociLayer, () => gzipSync(tar)],
    message: mistyped,
  },
  {
    what: "an encrypted layer",
    layer: [`${mediaTypes.ociLayerGzip}+encrypted`, () => Buffer.from("ciphertext")],
    message: mistyped,
  },
  {
    what: "a layer of Zstandard with a window of 1 GiB",
    layer: [mediaTypes.ociLayerZstd, () => wideZstd(tar, 30)],
    message: /its Zstandard has a window of over 512 MiB; compress it again with zstd --long=29 or less/,
  },
  {
    what: "a layer in gzip that was cut off",
    layer: [mediaTypes.ociLayerGzip, () => gzipSync(tar).subarray(0, -20)],
    message: mistyped,
  },
  {
    what: "a layer with a member of a type that BuildKit doesn't read",
    layer: [mediaTypes.ociLayerGzip, () => gzipSync(rawTar([{ flag: "7", path: "contiguous" }]))],
    message: /a member of its archive has the type "7", which BuildKit doesn't read; rebuild the base/,
  },
  {
    what: "a layer with a name that is longer than filesystems allow",
    layer: [
      mediaTypes.ociLayerGzip,
      async () => gzipSync(await packTar([{ name: "n".repeat(256), content: "x" }])),
    ],
    message: /can't be unpacked \(open \/n{256}: file name too long\): rebuild the base/,
  },
  {
    what: "a layer of an unknown media type",
    layer: ["application/x-layer", () => gzipSync(tar)],
    message: /a layer of a base image has the media type application\/x-layer, which BuildKit can't unpack/,
  },
  {
    what: "a chart of Helm",
    configType: "application/vnd.cncf.helm.config.v1+json",
    message:
      /image \S+ can't be pulled: it is an artifact of type application\/vnd\.cncf\.helm\.config\.v1\+json/,
  },
  {
    what: "no platform",
    platform: { os: "", architecture: "" },
    message:
      /the last stage's base image names no (os|architecture) in its config, .*crane mutate --set-platform/,
  },
];

/** BuildKit unpacks the first layer in another way than those above it. */
const places = rows.flatMap((row) => [
  { ...row, below: 0 },
  ...(row.layer === undefined ? [] : [{ ...row, what: `${row.what}, above another`, below: 1 }]),
]);

for (const [at, { what, layer, configType, platform, message, below }] of places.entries()) {
  test(`a base that can't be used is told with what to change: ${what}`, async () => {
    await using site = await makeSite("");
    const folder = join(site.folder, "base");
    const recipe = { layers: Array.from({ length: below + 1 }, () => tar), ...(platform && { platform }) };
    const { images } = await writeLayout(folder, recipe);
    const [image] = images;
    if (image === undefined) throw new Error("no image was made");
    const [type, bytes] = layer ?? [mediaTypes.ociLayerGzip, () => gzipSync(tar)];
    const others = image.layers.slice(0, below).map(({ descriptor }) => descriptor);
    const layers = configType === undefined ? [...others, await writeBlob(folder, type, await bytes())] : [];
    const config: Descriptor =
      configType === undefined ? image.config : await writeDocument(folder, configType, {});
    const mediaType = mediaTypes.ociManifest;
    const manifest = { schemaVersion: 2, mediaType, config, layers };
    await writeIndex(folder, [await writeDocument(folder, mediaType, manifest)]);
    const base = `${registry.host}/base-${at}:1`;
    await pushLayout(folder, base);
    const dockerfile = `FROM ${base}\nRUN true\n`;
    assertFailedCleanly(await site.put({ context: undefined, dockerfile_inline: dockerfile }), message);
  });
}
