import assert from "node:assert/strict";
import { copyFile, cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { hexOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { otherArchitecture, otherBase, ownBase } from "../support/images/bases.ts";
import { nativePlatform, writeDocument, writeIndex, writeLayout } from "../support/images/image-writer.ts";
import { makeSite, result, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";

/** Image layouts: of this machine's platform, with `/base` in it; and of another, without a program. */
const [bases] = await untilTestsEnd(createPrivateFolder("test-bases"));
const layout = await writeLayout(join(bases.path, "own"), ownBase);

interface Form {
  readonly what: string;
  /** Makes `folder`, an input, from the layout. */
  readonly make: (folder: string) => Promise<unknown>;
  /** In the input; by default the input itself. */
  readonly path?: string;
}

const copy = (...args: string[]) => execa("skopeo", ["copy", `oci:${layout.folder}`, ...args]);

const forms: readonly Form[] = [
  { what: "an OCI layout", make: (folder) => cp(layout.folder, folder, { recursive: true }) },
  {
    what: "the folder of a get with a layout in it",
    make: (folder) => cp(layout.folder, join(folder, "image"), { recursive: true }),
  },
  {
    what: "the folder of the registry-image resource's get with a layout in it",
    make: (folder) => cp(layout.folder, join(folder, "oci"), { recursive: true }),
  },
  {
    what: "an archive of docker save in the old form",
    make: (folder) => copy(`docker-archive:${join(folder, "image.tar")}:app:1`),
    path: "image.tar",
  },
  {
    what: "such an archive with gzip around it",
    make: async (folder) => {
      await copy(`docker-archive:${join(folder, "image.tar")}:app:1`);
      await execa("gzip", [join(folder, "image.tar")]);
    },
    path: "image.tar.gz",
  },
  {
    what: "the folder of the docker-image resource's get",
    make: async (folder) => {
      await copy(`docker-archive:${join(folder, "image.tar")}:app:1`);
      await rename(join(folder, "image.tar"), join(folder, "image"));
    },
  },
  {
    what: "an archive of an OCI layout",
    make: (folder) => copy(`oci-archive:${join(folder, "image.tar")}`),
    path: "image.tar",
  },
  {
    what: "a layout whose index holds an index of several platforms",
    make: async (folder) => {
      const { descriptor } = await writeLayout(folder, otherBase, ownBase);
      const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [descriptor] };
      await writeIndex(folder, [await writeDocument(folder, mediaTypes.ociIndex, index)]);
    },
  },
];

const dockerfile = "ARG base_image\nFROM $base_image\nRUN cp /base /result\n";

for (const { what, make, path } of forms) {
  test(`an image arg is ${what}, in a put and in a task`, async () => {
    await using site = await makeSite("");
    await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
    await mkdir(join(site.inputs, "base"));
    await make(join(site.inputs, "base"));
    const base = path === undefined ? "base" : `base/${path}`;
    const put = await site.put({ image_args: { base_image: base } });
    assert.equal(await result(await site.get(put)), "base\n");
    const env = { CONTEXT: "app", IMAGE_ARG_base_image: base, UNPACK_ROOTFS: "true" };
    const task = await runResource("build", { cwd: site.inputs, env });
    assert.equal(task.status, 0, task.output);
    assert.equal(await readFile(join(site.inputs, "image/rootfs/result"), "utf8"), "base\n");
  });
}

test("an index that lacks the build's platform is refused by name, whether the build names its platform or not", async () => {
  await using site = await makeSite("");
  await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
  const third = { ...otherBase, platform: { os: "linux", architecture: "riscv64" } };
  await writeLayout(join(site.inputs, "others"), otherBase, third);
  const foreign = await writeLayout(join(site.inputs, "partly"), ownBase, otherBase);
  const [, absent] = foreign.images;
  assert.ok(absent);
  await rm(join(foreign.folder, "blobs/sha256", hexOf(absent.manifest.digest)));
  const missing = new RegExp(
    `image_args\\.base_image: the image is for linux/${otherArchitecture}, linux/riscv64, but the build is for linux/`,
  );
  assertFailedCleanly(await site.put({ image_args: { base_image: "others" } }), missing);
  const platforms = [`linux/${otherArchitecture}`];
  const unsaved = await site.put({ platforms, image_args: { base_image: "partly" } });
  assertFailedCleanly(
    unsaved,
    new RegExp(
      `image_args\\.base_image: the image's index names linux/${otherArchitecture}, but only linux/.* was saved`,
    ),
  );
});

test("a single image of another platform, or of none, is a stage of data, with a warning", async () => {
  await using site = await makeSite("");
  await writeFile(
    join(site.inputs, "app/Dockerfile"),
    `ARG data\nFROM $data AS data\n${shell}COPY --from=data /base /result\n`,
  );
  await writeLayout(join(site.inputs, "other"), otherBase);
  await writeLayout(join(site.inputs, "none"), { ...otherBase, platform: { os: "", architecture: "" } });
  const put = await site.put({ image_args: { data: "other" } });
  assert.equal(await result(await site.get(put)), "other\n");
  assert.match(
    put.output,
    new RegExp(`image_args\\.data: the image is for linux/${otherArchitecture}, but the build is for`),
  );
  const without = await site.put({ image_args: { data: "none" } });
  assert.equal(await result(await site.get(without)), "other\n");
  assert.doesNotMatch(without.output, /the image is for/);
});

test("FROM may name the platform of an image arg in quotes, or its operating system alone", async () => {
  await using site = await makeSite("");
  await writeLayout(join(site.inputs, "own"), ownBase);
  for (const platform of [`"linux/${nativePlatform.architecture}"`, "linux"]) {
    const text = `ARG base\nFROM --platform=${platform} $base\nRUN cp /base /result\n`;
    await writeFile(join(site.inputs, "app/Dockerfile"), text);
    const put = await site.put({ image_args: { base: "own" } });
    assert.equal(await result(await site.get(put)), "base\n", platform);
  }
});

test("a Dockerfile whose frontend can't read images of the inputs is built by BuildKit's own", async () => {
  await using site = await makeSite("");
  await writeFile(join(site.inputs, "app/Dockerfile"), `# syntax=docker/dockerfile:1.4\n${dockerfile}`);
  await writeLayout(join(site.inputs, "own"), ownBase);
  const put = await site.put({ image_args: { base_image: "own" } });
  assert.equal(await result(await site.get(put)), "base\n");
  assert.match(
    put.output,
    /docker\/dockerfile:1\.4 can't read images of the inputs: BuildKit's own frontend/,
  );
});

test("a cross-build takes its compiler's image for the machine that builds, as image arg and as context", async () => {
  await using site = await makeSite("");
  await writeLayout(join(site.inputs, "own"), ownBase);
  await writeLayout(join(site.inputs, "other"), otherBase);
  const cross = `ARG compiler
ARG base_image
FROM --platform=$BUILDPLATFORM $compiler AS one
RUN cp /base /result
FROM --platform=$BUILDPLATFORM helper AS two
RUN cp /base /result
FROM $base_image
COPY --from=one /result /one
COPY --from=two /result /two
`;
  await writeFile(join(site.inputs, "app/Dockerfile"), cross);
  const put = await site.put({
    platforms: [`linux/${otherArchitecture}`],
    image_args: { compiler: "own", base_image: "other" },
    contexts: { helper: "own" },
  });
  const root = join(await site.get(put), "rootfs");
  const texts = ["base", "one", "two"].map((name) => readFile(join(root, name), "utf8"));
  assert.deepEqual(await Promise.all(texts), ["other\n", "base\n", "base\n"]);
});

test("a put's image.tar is another build's image arg", async () => {
  await using site = await makeSite("RUN echo base > /base\n");
  const got = await site.get(await site.put({}), {});
  await cp(got, join(site.inputs, "base"), { recursive: true });
  await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
  await copyFile("/bin/busybox", join(site.inputs, "app/busybox"));
  for (const path of ["base", "base/image.tar"]) {
    const put = await site.put({ IMAGE_ARG_base_image: path });
    assert.equal(await result(await site.get(put)), "base\n", path);
  }
});

test("where a get has delivered no image, the error names the get's params to change", async () => {
  await using site = await makeSite("");
  await writeFile(join(site.inputs, "app/Dockerfile"), `${shell}\n`);
  const format = /of the registry-image resource delivers one with "params: \{format: oci\}"/;
  const save = /of the docker-image resource delivers one with "params: \{save: true\}"/;
  const skipped = /with "params: \{\w+: \w+\}", and without skip_download/;
  for (const [holds, paths, advice] of [
    [["rootfs/", "metadata.json", "digest", "repository", "tag"], [".", "rootfs", "image.tar"], format],
    [["rootfs/", "docker_inspect.json", "image-id", "digest", "repository", "tag"], [".", "image"], save],
    [["image-id", "digest", "repository", "tag"], [".", "image"], skipped],
    [["digest", "repository", "tag"], [".", "image.tar"], skipped],
    [
      ["build.json", "digest", "repository", "tag"],
      [".", "image.tar"],
      /of this resource delivers one without image_tar: false and skip_download/,
    ],
  ] as const) {
    const base = join(site.inputs, "base");
    await mkdir(base);
    for (const name of holds) {
      if (name.endsWith("/")) await mkdir(join(base, name));
      else await writeFile(join(base, name), "");
    }
    for (const path of paths)
      assertFailedCleanly(await site.put({ image_args: { base_image: join("base", path) } }), advice);
    await rm(base, { recursive: true });
  }
});

test("an image's name in the place of a path is told as such", async () => {
  await using site = await makeSite("");
  const instead =
    /there is no input "\S+"; an image of a registry is not an input: give it under "build_args"/;
  for (const name of ["debian:12", "registry.example:5000/team/base", "docker-image://debian:12"])
    assertFailedCleanly(await site.put({ image_args: { base_image: name } }), instead);
  assertFailedCleanly(
    await site.put({ contexts: { base: "debian:12" } }),
    /contexts\.base: there is no input "debian:12"; an image of a registry is written docker-image:\/\/debian:12/,
  );
  assertFailedCleanly(await site.put({ image_args: { base: "base.d/x" } }), /add "inputs: \[base\.d\]"/);
});
