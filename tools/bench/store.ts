import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import { startRegistry } from "../../test/support/servers/registry.ts";
import type { Bundle } from "./bundle.ts";
import { mixedBytes } from "./images.ts";
import { compare, inTurn, type Result, timed } from "./measure.ts";

export const storeKinds = ["registry", "directory"] as const;
export type StoreKind = (typeof storeKinds)[number];

const layers = 4;
const layerSize = 24 << 20;

/** Where an image goes, and is fetched from. */
interface Place extends AsyncDisposable {
  /** Of ours, but for the daemon. */
  readonly source: Readonly<Record<string, unknown>>;
  /** As `buildctl build --output` takes it. */
  readonly output: string;
  /** What `skopeo copy` begins with. */
  readonly from: readonly string[];
}

async function openPlace(kind: StoreKind, folder: string): Promise<Place> {
  if (kind === "directory") {
    const layout = join(folder, "layout");
    return {
      source: { directory: join(folder, "builds") },
      output: `type=oci,tar=false,dest=${layout}`,
      from: [`oci:${layout}`],
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const registry = await startRegistry();
  const peer = `${registry.host}/peer:latest`;
  return {
    source: { repository: `${registry.host}/ours`, insecure: true },
    output: `type=image,name=${peer},push=true,registry.insecure=true,oci-mediatypes=true`,
    from: ["--src-tls-verify=false", `docker://${peer}`],
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

/**
 * An image of four new layers of 24 MiB, built, stored and fetched as an archive: a put and its get, against
 * `buildctl build` that pushes or writes a layout, and `skopeo copy` of that, through the same daemon and registry.
 */
export async function benchStore(
  bundle: Bundle,
  { kind, rounds }: { readonly kind: StoreKind; readonly rounds: number },
): Promise<Result> {
  await using folder = await createPrivateFolder("bench-store");
  await using daemon = await startBuildkitd();
  await using place = await openPlace(kind, folder.path);
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  const names = Array.from({ length: layers }, (_, layer) => `layer-${layer}`);
  await writeFile(
    join(app, "Dockerfile"),
    `FROM scratch\n${names.map((name) => `COPY ${name} /\n`).join("")}`,
  );
  for (const [seed, name] of names.entries()) await writeFile(join(app, name), mixedBytes(seed, layerSize));
  let builds = 0;
  /** The same files with another beginning each: neither daemon nor store has the layers. */
  const renew = async () => {
    const mark = Buffer.from(String(builds++).padStart(16, "0"));
    for (const name of names) {
      await using file = await open(join(app, name), "r+");
      await file.write(mark, 0, mark.length, 0);
    }
  };
  const source = { ...place.source, buildkit: { address: daemon.address } };
  const to = join(folder.path, "got");
  const archive = join(folder.path, "image.tar");
  return await compare(`put and get through a ${kind}, 96 MiB of new layers`, rounds, [
    {
      name: "put, get",
      run: async () => {
        await renew();
        await rm(to, { recursive: true, force: true });
        const request = JSON.stringify({ source, params: { context: "app" } });
        const put = await timed(bundle.out, [join(folder.path, "put")], { input: request });
        const { version } = JSON.parse(put.stdout) as { version: unknown };
        const input = JSON.stringify({ source, version });
        return inTurn(put, await timed(bundle.in, [to], { input }));
      },
    },
    {
      name: "buildctl, skopeo",
      run: async () => {
        await renew();
        await rm(archive, { force: true });
        const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
        const build = ["--addr", daemon.address, "build", "--frontend=dockerfile.v0", ...locals];
        const built = await timed("buildctl", [...build, "--output", place.output]);
        const copy = ["copy", ...place.from, `docker-archive:${archive}:peer:latest`];
        return inTurn(built, await timed("skopeo", copy));
      },
    },
  ]);
}
