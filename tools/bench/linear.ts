import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../../test/support/servers/buildkit.ts";
import { startRegistry } from "../../test/support/servers/registry.ts";
import type { Bundle } from "./bundle.ts";
import { mixedBytes } from "./images.ts";
import { type Contender, compare, type Result, timed } from "./measure.ts";

const systems = ["linux", "freebsd", "netbsd", "openbsd"];
const architectures = "386 amd64 arm arm64 loong64 mips64le ppc64le riscv64 s390x ppc64".split(" ");
const platforms = systems.flatMap((os) => architectures.map((architecture) => `${os}/${architecture}`));
const fileSize = 1 << 20;

/** What there may be many of in a build. Each has a layer of 1 MiB of its own. */
interface Growing {
  readonly what: string;
  /** The largest first. */
  readonly counts: readonly [number, number, number];
  readonly dockerfile: (count: number) => string;
  /** The files of the context that the layers are made of. */
  readonly files: (count: number) => readonly string[];
  readonly putParams: (count: number) => object;
  readonly getParams: object;
}

const numbered = (count: number) => Array.from({ length: count }, (_, at) => `file-${at}`);
const stages = (count: number) => numbered(count).map((file) => `FROM scratch AS ${file}\nCOPY ${file} /\n`);
const growing = {
  targets: {
    what: "targets",
    counts: [20, 10, 5],
    dockerfile: (count) => stages(count).join(""),
    files: numbered,
    putParams: (count) => ({ target: "file-0", additional_targets: numbered(count).slice(1) }),
    getParams: {},
  },
  platforms: {
    what: "platforms",
    counts: [40, 20, 10],
    dockerfile: () => "FROM scratch\nARG TARGETOS TARGETARCH\nCOPY $TARGETOS-$TARGETARCH /\n",
    files: (count) => platforms.slice(0, count).map((platform) => platform.replace("/", "-")),
    putParams: (count) => ({ platforms: platforms.slice(0, count) }),
    getParams: {},
  },
  layers: {
    what: "layers",
    counts: [127, 64, 32],
    dockerfile: (count) =>
      `FROM scratch\n${numbered(count)
        .map((file) => `COPY ${file} /\n`)
        .join("")}`,
    files: numbered,
    putParams: () => ({}),
    getParams: { unpack_rootfs: true },
  },
} satisfies Record<string, Growing>;
export type GrowingKind = keyof typeof growing;
export const growingKinds = Object.keys(growing) as GrowingKind[];

/**
 * Puts to a BuildKit that is running already and has none of it, and their gets, of builds with more and more of
 * something: the largest against the smaller ones. Linear is a ratio of at most that of the counts.
 */
export async function benchLinear(
  bundle: Bundle,
  { kind, rounds }: { readonly kind: GrowingKind; readonly rounds: number },
): Promise<Result[]> {
  await using folder = await createPrivateFolder("bench-linear");
  await using registry = await startRegistry();
  await using daemon = await startBuildkitd();
  const { what, counts, getParams, ...build }: Growing = growing[kind];
  const source = { insecure: true, buildkit: { address: daemon.address } };
  const sourceOf = (count: number) => ({ ...source, repository: `${registry.host}/${kind}-${count}` });
  const versions = new Map<number, unknown>();
  let builds = 0;

  const put = async (count: number) => {
    const inputs = join(folder.path, `put-${count}`);
    const app = join(inputs, "app");
    await mkdir(app, { recursive: true });
    await writeFile(join(app, "Dockerfile"), build.dockerfile(count));
    // New bytes each time: neither BuildKit nor the registry has the layers.
    for (const file of build.files(count)) await writeFile(join(app, file), mixedBytes(builds++, fileSize));
    const params = { context: "app", ...build.putParams(count) };
    const input = JSON.stringify({ source: sourceOf(count), params });
    const cost = await timed(bundle.out, [inputs], { input });
    versions.set(count, (JSON.parse(cost.stdout) as { version: unknown }).version);
    return cost;
  };
  const get = async (count: number) => {
    const to = join(folder.path, "got");
    const input = JSON.stringify({
      source: sourceOf(count),
      version: versions.get(count),
      params: getParams,
    });
    const cost = await timed(bundle.in, [to], { input });
    await rm(to, { recursive: true });
    return cost;
  };
  const contender = (run: (count: number) => ReturnType<typeof put>, count: number): Contender => ({
    name: `${count} ${what}`,
    run: () => run(count),
  });
  const results = [];
  for (const run of [put, get]) {
    const [largest, middle, smallest] = counts;
    results.push(
      await compare(`${run.name} of ${largest} ${what}, against fewer`, rounds, [
        contender(run, largest),
        contender(run, middle),
        contender(run, smallest),
      ]),
    );
  }
  return results;
}
