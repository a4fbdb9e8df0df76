import assert from "node:assert/strict";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { regctl } from "../support/images/regctl.ts";
import { metadataNames } from "../support/runs/put-and-get.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";
import { checkout, toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { assertSameTree, readTree } from "../support/tar/trees.ts";

/** Nothing in it is about tests: it builds wherever Docker Hub's Debian and Debian's packages can be had. */
const dockerfile = `FROM debian:bookworm-slim AS base
RUN apt-get update && apt-get install -y --no-install-recommends jq && rm -rf /var/lib/apt/lists/*

FROM base AS report
WORKDIR /src
COPY . .
RUN find . -name '*.ts' -printf '%P %s\\n' | jq -Rn '[inputs | split(" ") | {(.[0]): (.[1] | tonumber)}] | add' > /report.json

FROM base
ARG VERSION=dev
LABEL org.opencontainers.image.version=$VERSION
ENV VERSION=$VERSION
COPY --from=report /report.json /usr/share/report.json
COPY --from=report /src /usr/src/app
USER nobody
WORKDIR /usr/src
ENTRYPOINT ["jq"]
CMD ["length", "/usr/share/report.json"]
`;

const [hub] = await untilTestsEnd(startDockerHub());

/** A put's folder with one input, a real source tree with its Dockerfile. */
async function makeInputs(folder: string): Promise<string> {
  const inputs = join(folder, "put");
  await mkdir(inputs);
  await cp(join(checkout, "src"), join(inputs, "app"), { recursive: true });
  await writeFile(join(inputs, "app/Dockerfile"), dockerfile);
  return inputs;
}

interface Fetched {
  readonly digest: string;
  readonly withTar: string;
  readonly withLayout: string;
}

/** Puts the image and gets it in every form; the params are those of a pipeline, whatever the store. */
async function putAndGet(
  folder: string,
  store: Record<string, unknown>,
  params: Record<string, unknown> = {},
): Promise<Fetched> {
  const source = { ...store, registry_mirrors: [hub.url] };
  const put = await runResource("out", {
    args: [await makeInputs(folder)],
    stdin: { source, params: { context: "app", build_args: { VERSION: 1.4 }, ...params } },
  });
  const { version, metadata } = versionOf(put);
  assert.deepEqual(
    metadata.map(({ name }) => name).filter((name) => name !== "tags" && name !== "image"),
    metadataNames,
  );
  const [withTar, withLayout] = [join(folder, "tar"), join(folder, "layout")];
  const gets = await Promise.all([
    runResource("in", { args: [withTar], stdin: { source, version, params: { unpack_rootfs: true } } }),
    runResource("in", { args: [withLayout], stdin: { source, version, params: { output_oci: true } } }),
  ]);
  for (const get of gets) assert.deepEqual(versionOf(get).version, version);
  return { digest: version.digest, withTar, withLayout };
}

/** The config digest as skopeo computes it: the SHA-256 of the config it reads. */
async function skopeoConfigDigest(image: string): Promise<string> {
  const { stdout } = await execa("skopeo", ["inspect", "--config", "--raw", image], {
    encoding: "buffer",
    stripFinalNewline: false,
    env: toolEnvironment(),
  });
  const digest = await crypto.subtle.digest("SHA-256", Buffer.from(stdout));
  return `sha256:${Buffer.from(digest).toString("hex")}`;
}

async function assertDelivered({ digest, withTar, withLayout }: Fetched): Promise<void> {
  const images = [
    `docker-archive:${join(withTar, "image.tar")}`,
    `oci-archive:${join(withTar, "image.tar")}`,
    `oci:${join(withLayout, "image")}`,
  ];
  for (const image of images) assert.equal(await skopeoConfigDigest(image), digest, image);
  for (const folder of [withTar, withLayout]) {
    assert.equal(await readFile(join(folder, "digest"), "utf8"), digest);
    const labels: unknown = JSON.parse(await readFile(join(folder, "labels.json"), "utf8"));
    assert.deepEqual(labels, { "org.opencontainers.image.version": "1.4" });
  }
  assert.deepEqual(JSON.parse(await readFile(join(withTar, "metadata.json"), "utf8")), {
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "VERSION=1.4"],
    user: "nobody",
    entrypoint: ["jq"],
    cmd: ["length", "/usr/share/report.json"],
    workdir: "/usr/src",
  });
}

/** The program that apt-get installed runs in the delivered root, and sees the source tree's files. */
async function assertRuns(rootfs: string): Promise<void> {
  const jq = ["/usr/bin/jq", '.["main.ts"]', "/usr/share/report.json"];
  const { stdout } = await execa("chroot", ["--userspec=65534:65534", rootfs, ...jq]);
  const { length } = await readFile(join(checkout, "src/main.ts"));
  assert.equal(Number(stdout), length);
}

/** umoci unpacks the delivered layout to the same tree. */
async function assertUnpackedAsUmociDoes({ withTar, withLayout }: Fetched, folder: string): Promise<void> {
  const named = join(folder, "named");
  await execa("skopeo", ["copy", `oci:${join(withLayout, "image")}`, `oci:${named}:image`]);
  const bundle = join(folder, "bundle");
  await execa("umoci", ["unpack", "--image", `${named}:image`, bundle]);
  assertSameTree(readTree(join(withTar, "rootfs")), readTree(join(bundle, "rootfs")));
}

test("an unmodified Dockerfile is put into a directory and comes back as tar, layout and a root that runs", async () => {
  await using folder = await createPrivateFolder("test-real");
  const fetched = await putAndGet(folder.path, { directory: join(folder.path, "store") });
  await assertDelivered(fetched);
  await assertRuns(join(fetched.withTar, "rootfs"));
  await assertUnpackedAsUmociDoes(fetched, folder.path);
});

test("the same put into a registry comes back alike, and its tags point at the image", async () => {
  await using folder = await createPrivateFolder("test-real");
  await using registry = await startRegistry();
  const repository = `${registry.host}/team/app`;
  const fetched = await putAndGet(folder.path, { repository, insecure: true }, { tags: ["1.4", "latest"] });
  await assertDelivered(fetched);
  await assertRuns(join(fetched.withTar, "rootfs"));
  assert.equal(await readFile(join(fetched.withTar, "repository"), "utf8"), repository);
  const buildTag = `build-${fetched.digest.slice("sha256:".length)}`;
  assert.equal(await readFile(join(fetched.withTar, "tag"), "utf8"), buildTag);
  const tags = (await regctl(registry.host, ["tag", "ls", repository])).trim().split("\n").toSorted();
  assert.deepEqual(tags, ["1.4", buildTag, "latest"]);
  for (const tag of ["1.4", "latest"]) {
    const manifest: unknown = JSON.parse(
      await regctl(registry.host, ["manifest", "get", "--format", "raw-body", `${repository}:${tag}`]),
    );
    assert.equal((manifest as { config: { digest: string } }).config.digest, fetched.digest);
  }
});
