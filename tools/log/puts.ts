import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import {
  busyboxLayer,
  nativePlatform,
  pushLayout,
  writeLayout,
} from "../../test/support/images/image-writer.ts";
import { randomLayer } from "../../test/support/images/stored-image.ts";
import { runResource } from "../../test/support/runs/resource.ts";
import { startRegistry } from "../../test/support/servers/registry.ts";

/** How the registry of these puts is called where it is shown. */
const shownHost = "registry.example";

const dockerfile = (base: string) => `FROM ${base} AS build
COPY greeting /src/greeting
RUN echo compiling; sleep 2; cp /src/greeting /greeting
FROM ${base}
COPY --from=build /greeting /greeting
`;
const failing = (base: string) => `FROM ${base} AS build
COPY greeting /src/greeting
RUN echo "reading /src/greeting" && echo "greeting:1: unexpected end of file" >&2 && exit 2
`;
const warned = (base: string) => `FROM ${base} as build
MAINTAINER somebody@example.com
CMD cat /greeting
`;
const twoTargets = (base: string) => `FROM --platform=$BUILDPLATFORM ${base} AS compile
ARG TARGETARCH
RUN echo "compiling for $TARGETARCH"; sleep 1; echo "$TARGETARCH" > /greeting
FROM ${base} AS test
COPY greeting /expected
FROM ${base} AS app
COPY --from=compile /greeting /greeting
`;

/** Runs the puts one after the other, against a registry of their own. Answers their logs by name. */
export async function runPuts(): Promise<Readonly<Record<string, string>>> {
  await using registry = await startRegistry();
  const base = `${registry.host}/base:1`;
  await pushBase(base);
  const put = async (text: string, params: object = {}, source: object = {}): Promise<string> => {
    await using folder = await createPrivateFolder("log");
    await mkdir(join(folder.path, "source"));
    await writeFile(join(folder.path, "source/Dockerfile"), text);
    await writeFile(join(folder.path, "source/greeting"), "hello\n");
    const { stderr } = await runResource("out", {
      args: [folder.path],
      stdin: {
        source: { repository: `${registry.host}/shop/web`, insecure: true, ...source },
        params: { context: "source", ...params },
      },
      env: { NO_COLOR: "1" },
    });
    return stderr.replaceAll(registry.host, shownHost);
  };
  const cache = { cache: true };
  return {
    success: await put(dockerfile(base), { tags: ["1.4.0"] }, cache),
    cached: await put(dockerfile(base), { tags: ["1.4.0"] }, cache),
    failure: await put(failing(base)),
    warnings: await put(warned(base)),
    several: await put(twoTargets(base), {
      target: "app",
      additional_targets: ["test"],
      platforms: ["linux/amd64", "linux/arm64"],
    }),
  };
}

/** A small system with so much beside it that its download takes a while, for both platforms. */
async function pushBase(reference: string): Promise<void> {
  await using folder = await createPrivateFolder("log-base");
  const layers = [await busyboxLayer(), randomLayer(150_000_000)];
  const other = nativePlatform.architecture === "arm64" ? "amd64" : "arm64";
  const recipes = [nativePlatform, { os: "linux", architecture: other }].map((platform) => ({
    layers,
    platform,
  }));
  await writeLayout(folder.path, ...recipes);
  await pushLayout(folder.path, reference);
}
