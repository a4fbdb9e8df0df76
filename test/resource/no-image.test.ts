import { cp, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { nativePlatform, packTar, writeLayout } from "../support/images/image-writer.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly } from "../support/runs/resource.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";

/** An image in a layout, in the form of docker save, and its root filesystem. */
const [place] = await untilTestsEnd(createPrivateFolder("test-no-image"));
const layer = [
  { name: "etc/os-release", content: "ID=test\n" },
  { name: "bin/sh", content: "-" },
];
const { folder: layout } = await writeLayout(join(place.path, "layout"), {
  platform: nativePlatform,
  layers: [layer],
});
const saved = join(place.path, "saved.tar");
await skopeo(`docker-archive:${saved}:app:1`);

function skopeo(to: string) {
  return execa("skopeo", ["copy", `oci:${layout}`, to]);
}

async function pack(folder: string, file: string): Promise<void> {
  await execa("tar", ["-cf", `${folder}.packed`, "-C", folder, "."]);
  await rm(folder, { recursive: true });
  await rename(`${folder}.packed`, file);
}

async function compressed(file: string, program: string): Promise<void> {
  const options = { env: toolEnvironment(), encoding: "buffer" } as const;
  const { stdout } = await execa(program, ["-c", saved], options);
  await writeFile(file, stdout);
}

interface Row {
  readonly what: string;
  /** Makes the input. */
  readonly make: (folder: string) => Promise<unknown>;
  /** In the input; by default the input itself. */
  readonly path?: string;
  readonly message: RegExp;
}

const expected = /expected what "docker save" writes, or an OCI layout/;

const rows: readonly Row[] = [
  {
    what: "the folder of skopeo's dir:",
    make: (folder) => skopeo(`dir:${folder}`),
    message:
      /manifest\.json is a manifest as a registry has it: .* skopeo's "dir:" .* write the image as "oci:"/,
  },
  {
    what: "an archive of skopeo's dir:",
    make: async (folder) => {
      await skopeo(`dir:${join(folder, "dir")}`);
      await pack(join(folder, "dir"), join(folder, "image.tar"));
    },
    message: /manifest\.json is a manifest as a registry has it/,
  },
  {
    what: "an archive of a folder that holds the layout",
    make: async (folder) => {
      await cp(layout, join(folder, "all/base"), { recursive: true });
      await pack(join(folder, "all"), join(folder, "image.tar"));
    },
    message:
      /the archive has "base\/index\.json" in a folder; .*: pack what is in the folder \(tar -C base -cf image\.tar \.\)/,
  },
  {
    what: "an archive as Docker before 1.10 wrote it",
    make: async (folder) =>
      writeFile(
        join(folder, "image.tar"),
        await packTar([
          { name: "0123/VERSION", content: "1.0" },
          { name: "0123/json", content: "{}" },
          { name: "0123/layer.tar", content: "" },
          { name: "repositories", content: "{}" },
        ]),
      ),
    message: /no manifest\.json, as Docker before 1\.10 wrote it; .*: save the image with a newer Docker/,
  },
  {
    what: "a root filesystem, as docker export writes it",
    make: async (folder) => writeFile(join(folder, "rootfs.tar"), await packTar(layer)),
    path: "rootfs.tar",
    message: /is a root filesystem, as "docker export" .*use "FROM scratch" and ADD the archive/,
  },
  {
    what: "an archive of something else",
    make: async (folder) =>
      writeFile(join(folder, "image.tar"), await packTar([{ name: "src/a.go", content: "" }])),
    message: /the archive has neither manifest\.json nor index\.json; expected what "docker save" writes/,
  },
  {
    what: "an archive in xz",
    make: (folder) => compressed(join(folder, "image.tar"), "xz"),
    message: /is compressed with xz; expected a tar archive, .*: decompress it in an earlier step \(xz -d\)/,
  },
  {
    what: "an archive in bzip2",
    make: (folder) => compressed(join(folder, "image.tar"), "bzip2"),
    message: /is compressed with bzip2; .* \(bzip2 -d\)/,
  },
  {
    what: "a document of a layout",
    make: (folder) => cp(layout, folder, { recursive: true }),
    path: "index.json",
    message: new RegExp(`is a JSON document; ${expected.source}, which is named by its folder`),
  },
  {
    what: "a folder with an archive of another name",
    make: (folder) => cp(saved, join(folder, "base-1.2.tar.gz")),
    message:
      /the folder holds no image; .*; if "base-1\.2\.tar\.gz" in it is the image, add that to the path/,
  },
];

for (const { what, make, path, message } of rows) {
  test(`what is no image is told for what it is: ${what}`, async () => {
    await using site = await makeSite("");
    const folder = join(site.inputs, "base");
    await mkdir(folder);
    await make(folder);
    const base = path === undefined ? "base" : `base/${path}`;
    const told = new RegExp(`image_args\\.base_image: .*${message.source}`);
    assertFailedCleanly(await site.put({ image_args: { base_image: base } }), told);
  });
}
