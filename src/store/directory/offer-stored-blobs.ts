import { existsSync, linkSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isBuildName } from "../../image/build-version.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { isDigest } from "../../image/digest.ts";
import { blobPath, layoutBlobs } from "../../image/layout.ts";
import { drain, verifiedPieces } from "../../image/verify.ts";

/**
 * How much is read before an export. What BuildKit needs for a blob hardly depends on its size, so small ones save
 * most. Hashing large layers would take a core from the build, and the next build may have others.
 */
const maxOfferedBytes = 64 * 1024 * 1024;

/**
 * Links the small blobs of the build that was stored last into the folder of an export. BuildKit then sends only the
 * others, as it pushes to a registry only what the registry lacks, and both builds share the disk space.
 *
 * Each blob is verified first, so that BuildKit replaces a damaged one. It also sends what can't be linked: not every
 * disk has hard links, and not every user may link the files of another (proc(5), `protected_hardlinks`).
 */
export async function offerStoredBlobs(
  directory: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const build = newestBuild(directory);
    if (build === undefined) return;
    const blobs = layoutBlobs(build);
    mkdirSync(join(folder, "blobs/sha256"), { recursive: true });
    let offered = 0;
    for (const blob of storedBlobs(build)) {
      offered += blob.size;
      if (offered > maxOfferedBytes) return;
      const isWhole = await drain(verifiedPieces(blobs, blob, signal)).then(
        () => true,
        () => false,
      );
      signal.throwIfAborted();
      const [from, to] = [join(build, blobPath(blob.digest)), join(folder, blobPath(blob.digest))];
      // BuildKit may have sent it meanwhile.
      if (isWhole && !existsSync(to)) linkSync(from, to);
    }
  } catch {
    // Whatever is wrong with the stored build, this one comes from BuildKit.
  }
}

function newestBuild(directory: string): string | undefined {
  const builds = readdirSync(directory)
    .filter(isBuildName)
    .map((name) => join(directory, name));
  const dated = builds.map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }));
  return dated.toSorted((one, other) => other.at - one.at)[0]?.path;
}

/** The smallest first. */
function storedBlobs(build: string): readonly Descriptor[] {
  return readdirSync(join(build, "blobs/sha256"))
    .map((name) => `sha256:${name}`)
    .filter(isDigest)
    .map((digest) => ({ mediaType: "", digest, size: statSync(join(build, blobPath(digest))).size }))
    .toSorted((one, other) => one.size - other.size);
}
