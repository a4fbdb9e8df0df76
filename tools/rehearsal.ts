import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { digestOf, hexOf } from "../src/image/digest.ts";

/** Says, exports and reports what it built once. It runs in the folder that {@link writeRehearsal} has filled. */
const buildctl = `#!/bin/sh
while [ $# -gt 0 ]; do
  case $1 in
    --metadata-file) cp built/metadata.json "$2" ;;
    --output) folder=\${2#*dest=} && cp -r built/layout/. "\${folder%%,*}" ;;
  esac
  shift
done
cat built/progress >&2
`;

/**
 * Fills a folder with what the put needs that is done while a start-up snapshot is made (src/commands/warm-up.ts): its
 * inputs in `put`, and in `bin` a buildctl that answers as if its daemon had every step already.
 */
export async function writeRehearsal(folder: string): Promise<void> {
  for (const part of ["put/app", "bin", "built/layout/blobs/sha256"]) {
    await mkdir(join(folder, part), { recursive: true });
  }
  const dockerfile = "FROM registry.example/base\nCOPY Dockerfile /\n";
  await writeFile(join(folder, "put/app/Dockerfile"), dockerfile);
  await writeFile(join(folder, "bin/buildctl"), buildctl, { mode: 0o755 });
  const addBlob = async (kind: string, content: Uint8Array | object) => {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content));
    const digest = digestOf(bytes);
    await writeFile(join(folder, "built/layout/blobs/sha256", hexOf(digest)), bytes);
    return { mediaType: `application/vnd.oci.image.${kind}`, digest, size: bytes.length };
  };
  const tar = Buffer.alloc(1024);
  const layer = await addBlob("layer.v1.tar+gzip", gzipSync(tar));
  const diffId = digestOf(tar);
  const config = await addBlob("config.v1+json", {
    architecture: "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin"], Cmd: ["sh"], WorkingDir: "/", Labels: { for: "a rehearsal" } },
    created: time,
    history: [{ created: time, created_by: "COPY Dockerfile /", comment: "buildkit.dockerfile.v0" }],
    rootfs: { type: "layers", diff_ids: [diffId] },
  });
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  const manifest = await addBlob("manifest.v1+json", {
    schemaVersion: 2,
    mediaType,
    config,
    layers: [layer],
  });
  const platform = { architecture: "amd64", os: "linux" };
  const annotations = { "org.opencontainers.image.created": time };
  const metadata = {
    "containerimage.config.digest": config.digest,
    "containerimage.descriptor": { ...manifest, platform, annotations },
    "containerimage.digest": manifest.digest,
    "containerimage.layers.proven": `${layer.digest} ${diffId},`,
  };
  await writeFile(join(folder, "built/metadata.json"), JSON.stringify(metadata));
  // A version that won't be too old one day.
  const versions = { buildctl: "v99.0.0", buildkitd: "v99.0.0" };
  const lines = [versions, ...progress()];
  await writeFile(join(folder, "built/progress"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
}

const time = "2000-01-01T00:00:00.123456789Z";

/** The events of `buildctl --progress rawjson` (BuildKit's client/graph.go). */
function progress(): readonly object[] {
  const base = `registry.example/base:latest@sha256:${"0".repeat(64)}`;
  return [
    ...vertexEvents("[internal] load build definition from Dockerfile"),
    ...vertexEvents("[internal] load metadata for registry.example/base:latest"),
    ...vertexEvents("[internal] load .dockerignore"),
    ...vertexEvents("[internal] load build context"),
    ...vertexEvents(`[1/2] FROM ${base}`, { cached: true }),
    ...vertexEvents("[2/2] COPY Dockerfile /", { cached: true }),
    ...vertexEvents("exporting to oci image format"),
  ];
}

function vertexEvents(name: string, more: object = {}): readonly object[] {
  const digest = digestOf(Buffer.from(name));
  const status = { vertex: digest, timestamp: time, started: time, name: "transferring", current: 0 };
  return [
    { vertexes: [{ digest, name }] },
    { vertexes: [{ digest, name, started: time }] },
    { statuses: [{ ...status, id: "transferring:" }] },
    { statuses: [{ ...status, id: "transferring:", current: 2, completed: time }] },
    { vertexes: [{ digest, name, started: time, completed: time, ...more }] },
  ];
}
