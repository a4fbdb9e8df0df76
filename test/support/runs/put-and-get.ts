import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import {
  type Run,
  type RunOptions,
  runResource,
  type StartedRun,
  startResource,
  versionOf,
} from "./resource.ts";

/** The first stage of a Dockerfile, which has a shell and the usual commands. */
export const shell = `FROM scratch AS shell
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
`;

type Fields = Readonly<Record<string, unknown>>;

/** Puts of one Dockerfile, and gets of what they have stored. */
export interface Site extends AsyncDisposable {
  readonly folder: string;
  /** Of the put, with one input: `app`. */
  readonly inputs: string;
  /** The source that its requests have, unless a put or get is given more. */
  readonly source: Fields;
  put(params: Fields, source?: Fields, how?: Pick<RunOptions, "env" | "under">): Promise<Run>;
  /** Starts a put, and doesn't wait for it. */
  startPut(params: Fields, source?: Fields, how?: Pick<RunOptions, "env" | "under">): Promise<StartedRun>;
  /** Gets what a put stored, by default its root filesystem without image.tar; answers the folder. */
  get(put: Run, params?: Fields): Promise<string>;
}

/**
 * A folder with an input `app`: the Dockerfile given, after {@link shell}, and busybox.
 * @param store by default a directory of its own
 */
export async function makeSite(dockerfile: string, store?: Fields): Promise<Site> {
  const folder = await createPrivateFolder("test-site");
  const inputs = join(folder.path, "inputs");
  await mkdir(join(inputs, "app"), { recursive: true });
  await writeFile(join(inputs, "app/Dockerfile"), shell + dockerfile);
  await copyFile("/bin/busybox", join(inputs, "app/busybox"));
  const own = store ?? { directory: join(folder.path, "builds") };
  let gets = 0;
  const startPut: Site["startPut"] = (params, source = {}, { env = {}, under = [] } = {}) =>
    startResource("out", {
      under,
      args: [inputs],
      stdin: { source: { ...own, ...source }, params: { context: "app", ...params } },
      env: { NO_COLOR: "1", ...env },
    });
  return {
    folder: folder.path,
    inputs,
    source: own,
    startPut,
    put: async (...request) => (await startPut(...request)).result,
    get: async (put, params = { unpack_rootfs: true, image_tar: false }) => {
      const to = join(folder.path, `get-${gets++}`);
      const { version } = versionOf(put);
      versionOf(await runResource("in", { args: [to], stdin: { source: own, version, params } }));
      return to;
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** What RUN wrote to `/result`, in the root filesystem that a get delivered. */
export const result = (folder: string): Promise<string> => readFile(join(folder, "rootfs/result"), "utf8");

/** What a put's metadata says under a name. */
export function metadataOf(put: Run, name: string): string | undefined {
  return versionOf(put).metadata.find((field) => field.name === name)?.value;
}

/** The names in the metadata of every put of one target, in their order. A registry's `image` goes before them. */
export const metadataNames: readonly string[] = [
  "digest",
  "manifest_digest",
  "config_digest",
  "platforms",
  "size",
  "layers",
  "steps",
  "warnings",
  "build_time",
  "stored",
  "concourse_build",
];
