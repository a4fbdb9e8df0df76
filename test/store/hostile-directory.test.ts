import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { execa } from "execa";
import { UserError } from "../../src/host/errors.ts";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import type { Digest } from "../../src/image/digest.ts";
import { blobPath } from "../../src/image/layout.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { openVerified } from "../../src/image/verify.ts";
import { encodeBuildIndex } from "../../src/store/build-index.ts";
import { openDirectoryStore } from "../../src/store/directory/directory-store.ts";
import { type MadeImage, writeDocument } from "../support/images/image-writer.ts";
import { plainVersion, putRecord, storeInDirectory } from "../support/images/stored-image.ts";

const { signal } = new AbortController();

interface Victim {
  /** The build's layout in the store. */
  readonly folder: string;
  readonly version: Digest;
  readonly image: MadeImage;
  /** Has the build lead to something else than its image. */
  lead(descriptor: Descriptor): Promise<void>;
  /** Reads the whole build as a get does, layers included. */
  fetch(): Promise<void>;
}

/** A store with one build, whose files the test may change. */
async function withVictim(work: (victim: Victim) => Promise<void>): Promise<void> {
  await using temporary = await createPrivateFolder("test-hostile");
  const directory = join(temporary.path, "builds");
  const made = await storeInDirectory(directory, { "": [{ layers: [[{ name: "file", content: "x" }]] }] });
  const { digest } = made.version;
  const image = made.layouts[0]?.images[0];
  assert.ok(image);
  const victim: Victim = {
    folder: made.folder,
    version: digest,
    image,
    async lead(descriptor) {
      const targets = [{ name: "", descriptor }] as const;
      await writeFile(
        join(made.folder, "index.json"),
        encodeBuildIndex({ version: plainVersion(digest), targets, put: putRecord }),
      );
    },
    async fetch() {
      await using build = await openDirectoryStore({ directory }).fetch(plainVersion(digest), signal);
      for (const { manifest } of build.targets[0].tree.images)
        for (const layer of manifest.layers) await buffer(await openVerified(build.blobs, layer, signal));
    },
  };
  await victim.fetch();
  await work(victim);
}

const blobOf = ({ folder }: Victim, { digest }: Descriptor) => join(folder, blobPath(digest));

/** Changes the text of the layout's index.json. */
async function editIndex({ folder }: Victim, edit: (text: string) => string): Promise<void> {
  const file = join(folder, "index.json");
  const text = await readFile(file, "utf8");
  assert.notEqual(edit(text), text);
  await writeFile(file, edit(text));
}

/** Another manifest of the same image, changed. */
async function leadToManifest(victim: Victim, change: (manifest: Record<string, unknown>) => object) {
  const manifest: Record<string, unknown> = JSON.parse(
    await readFile(blobOf(victim, victim.image.manifest), "utf8"),
  );
  await victim.lead(await writeDocument(victim.folder, mediaTypes.ociManifest, change(manifest)));
}

/** An index over others, so many times. */
async function nest({ folder, image }: Victim, depth: number): Promise<Descriptor> {
  let top: Descriptor = image.manifest;
  const mediaType = mediaTypes.ociIndex;
  for (let level = 0; level < depth; level++)
    top = await writeDocument(folder, mediaType, { schemaVersion: 2, mediaType, manifests: [top] });
  return top;
}

/** A server that anything might ask. */
async function countingServer() {
  let requests = 0;
  const server = createServer((_request, response) => {
    requests++;
    response.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/layer`,
    requests: () => requests,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

interface Row {
  readonly what: string;
  readonly change: (victim: Victim) => Promise<unknown>;
  readonly message: RegExp;
}

const wrongDigest = (digest: (right: Digest) => string) => (victim: Victim) =>
  editIndex(victim, (text) =>
    text.replace(victim.image.manifest.digest, digest(victim.image.manifest.digest)),
  );
const noDigest = /index\.json: manifests\[0\]\.digest: expected sha256: and 64 lower-case hex digits/;

const rows: readonly Row[] = [
  {
    what: "another version of the layout",
    change: ({ folder }) => writeFile(join(folder, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}'),
    message: /imageLayoutVersion "2\.0\.0"; expected "1\.0\.0"/,
  },
  {
    what: "no oci-layout",
    change: ({ folder }) => rm(join(folder, "oci-layout")),
    message: /oci-layout: there is no such file; an OCI image layout must have it/,
  },
  {
    what: "an index.json that isn't JSON",
    change: ({ folder }) => writeFile(join(folder, "index.json"), "<html>"),
    message: /index\.json: expected JSON, found "<html>"/,
  },
  {
    what: "an index.json of 5 MB",
    change: ({ folder }) => writeFile(join(folder, "index.json"), Buffer.alloc(5_000_000, " ")),
    message: /index\.json: has 5000000 bytes; expected 4194304 at most/,
  },
  {
    what: "an index.json that is a symbolic link",
    change: async ({ folder }) => {
      await rename(join(folder, "index.json"), join(folder, "other"));
      await symlink("other", join(folder, "index.json"));
    },
    message: /index\.json: is a symbolic link/,
  },
  {
    what: "an index.json that is a FIFO",
    change: async ({ folder }) => {
      await rm(join(folder, "index.json"));
      await execa("mkfifo", [join(folder, "index.json")]);
    },
    message: /index\.json: is not a regular file/,
  },
  {
    what: "an index.json without the build's annotations",
    change: (victim) => editIndex(victim, (text) => text.replaceAll("oci-build.version", "other")),
    message: /build index: annotations\["org\.concourse-ci\.oci-build\.version"\]/,
  },
  {
    what: "an index.json with the fields of a manifest too",
    change: (victim) => editIndex(victim, (text) => text.replace(/^\{/, '{"layers":[],')),
    message: /has fields of a manifest \(config, layers\); expected an index/,
  },
  { what: "a digest with a path", change: wrongDigest(() => "sha256:../../x"), message: noDigest },
  {
    what: "a digest in upper case",
    change: wrongDigest((right) => right.toUpperCase().replace("SHA256", "sha256")),
    message: noDigest,
  },
  { what: "a short digest", change: wrongDigest((right) => right.slice(0, -1)), message: noDigest },
  {
    what: "a digest of another algorithm",
    change: wrongDigest(() => `md5:${"0".repeat(32)}`),
    message: noDigest,
  },
  {
    what: "a manifest with the fields of an index too",
    change: (victim) => leadToManifest(victim, (manifest) => ({ ...manifest, manifests: [] })),
    message: /has the fields of an index \(manifests\) and of a manifest/,
  },
  {
    what: "a manifest of another media type than its descriptor's",
    change: (victim) =>
      leadToManifest(victim, (manifest) => ({ ...manifest, mediaType: mediaTypes.dockerManifest })),
    message:
      /says that its media type is "application\/vnd\.docker.*", but its descriptor says application\/vnd\.oci/,
  },
  {
    what: "a manifest with fewer layers than diff IDs",
    change: (victim) => leadToManifest(victim, (manifest) => ({ ...manifest, layers: [] })),
    message: /the manifest has 0 layers, its config 1 diff IDs/,
  },
  {
    what: "a descriptor of 8 GiB for a manifest",
    change: (victim) => victim.lead({ ...victim.image.manifest, size: 8 * 1024 ** 3 }),
    message: /has 8589934592 bytes; such a document may have 4194304 at most/,
  },
  {
    what: "an index that holds itself, as far as anything can that is named by its digest",
    change: async (victim) => {
      const mediaType = mediaTypes.ociIndex;
      const index = await nest(victim, 1);
      await victim.lead(index);
      const itself = JSON.stringify({ schemaVersion: 2, mediaType, manifests: [index] });
      await writeFile(blobOf(victim, index), itself.padEnd(index.size).slice(0, index.size));
    },
    message: /is not what its descriptor says: its bytes have digest/,
  },
  {
    what: "indexes that nest nine deep",
    change: async (victim) => victim.lead(await nest(victim, 9)),
    message: /indexes nest more than 8 deep/,
  },
  {
    what: "an index over a thousand others",
    change: async (victim) => {
      const { folder, image } = victim;
      const mediaType = mediaTypes.ociIndex;
      const manifests: Descriptor[] = [];
      for (let number = 0; number < 1001; number++) {
        const document = { schemaVersion: 2, mediaType, manifests: [image.manifest], number };
        manifests.push(await writeDocument(folder, mediaType, document));
      }
      const top = { schemaVersion: 2, mediaType, manifests };
      await victim.lead(await writeDocument(folder, mediaType, top));
    },
    message: /leads to more than 1000 documents/,
  },
  {
    what: "an index without an image",
    change: async (victim) => {
      const { folder, image } = victim;
      const mediaType = mediaTypes.ociIndex;
      const other = { ...image.config, mediaType: "application/octet-stream" };
      const document = { schemaVersion: 2, mediaType, manifests: [other] };
      await victim.lead(await writeDocument(folder, mediaType, document));
    },
    message: /refers to no runnable image/,
  },
  {
    what: "inline data that isn't what its descriptor says",
    change: (victim) =>
      leadToManifest(victim, ({ config, ...manifest }) => ({
        ...manifest,
        config: { ...(config as object), data: Buffer.from("{}").toString("base64") },
      })),
    message: /its inline data has another size or digest/,
  },
  {
    what: "the image of another version",
    change: async (victim) => {
      const config: object = JSON.parse(await readFile(blobOf(victim, victim.image.config), "utf8"));
      const changed = await writeDocument(victim.folder, mediaTypes.ociConfig, {
        ...config,
        author: "other",
      });
      await leadToManifest(victim, (manifest) => ({ ...manifest, config: changed }));
    },
    message: /the build stored as version sha256:\w+ holds the image sha256:\w+\. It was replaced/,
  },
  {
    what: "a layer that is a symbolic link to a file elsewhere",
    change: async (victim) => {
      const blob = blobOf(victim, victim.image.layers[0]?.descriptor as Descriptor);
      await rename(blob, join(victim.folder, "elsewhere"));
      await symlink(join(victim.folder, "elsewhere"), blob);
    },
    message: /is a symbolic link; copy what it points to into the layout/,
  },
  {
    what: "a layer that is a FIFO",
    change: async (victim) => {
      const blob = blobOf(victim, victim.image.layers[0]?.descriptor as Descriptor);
      await rm(blob);
      await execa("mkfifo", [blob]);
    },
    message: /is not a regular file/,
  },
  {
    what: "a layer that is longer than its descriptor says",
    change: (victim) =>
      writeFile(blobOf(victim, victim.image.layers[0]?.descriptor as Descriptor), "more", { flag: "a" }),
    message: /it is longer than its \d+ bytes/,
  },
  {
    what: "a blobs folder that is a symbolic link to one elsewhere",
    change: async ({ folder }) => {
      await rename(join(folder, "blobs"), `${folder}-blobs`);
      await symlink(`${folder}-blobs`, join(folder, "blobs"));
    },
    message: /its blobs folder is a symbolic link to/,
  },
];

for (const { what, change, message } of rows) {
  test(`a build in a directory is refused for ${what}`, async () => {
    await withVictim(async (victim) => {
      await change(victim);
      await assert.rejects(victim.fetch(), (thrown) => {
        assert.ok(thrown instanceof UserError, String(thrown));
        assert.match(thrown.message, message);
        return true;
      });
    });
  });
}

test("inline data that is what its descriptor says is taken, and eight indexes may nest", async () => {
  await withVictim(async (victim) => {
    const bytes = await readFile(blobOf(victim, victim.image.config));
    await leadToManifest(victim, ({ config, ...manifest }) => ({
      ...manifest,
      config: { ...(config as object), data: bytes.toString("base64") },
    }));
    await rm(blobOf(victim, victim.image.config));
    await victim.fetch();
  });
  await withVictim(async (victim) => {
    await victim.lead(await nest(victim, 7));
    await victim.fetch();
  });
});

test("an URL in a descriptor is never fetched", async () => {
  await using server = await countingServer();
  await withVictim(async (victim) => {
    const blob = victim.image.layers[0]?.descriptor as Descriptor;
    await leadToManifest(victim, (manifest) => ({ ...manifest, layers: [{ ...blob, urls: [server.url] }] }));
    await victim.fetch();
    await rm(blobOf(victim, blob));
    await assert.rejects(victim.fetch(), /blob sha256:\w+: there is no such file/);
    assert.equal(server.requests(), 0);
  });
});
