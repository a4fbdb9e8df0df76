import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { toolEnvironment } from "../runs/test-step.ts";
import { startServer } from "../servers/http-server.ts";
import { type ContainerKind, rightsOf } from "./kinds.ts";
import { type Bind, containerProcess, mappedRoot, ociConfig } from "./oci-config.ts";
import { ownImage, writeResource } from "./own-image.ts";
import { relayPorts } from "./relay.ts";

export interface Container extends AsyncDisposable {
  readonly kind: ContainerKind;
  /** Folders of the machine that the container has as `/tmp/build` and `/scratch`. */
  readonly build: string;
  readonly scratch: string;
  /** Runs a program in the container to its end. */
  exec(args: readonly string[], how?: ExecOptions): Promise<Ended>;
  /** Starts one; a signal to the answered process goes to the program in the container alone. */
  start(args: readonly string[], how?: ExecOptions): ReturnType<typeof startExec>;
  /** Gives what is below a folder of {@link build} to the container's root, as a worker gives inputs to a step. */
  own(folder: string): Promise<void>;
  /** The command lines of what runs in it besides its own init. */
  processes(): Promise<string[]>;
  /** Sends SIGKILL to those whose command line matches. */
  kill(pattern: RegExp): Promise<void>;
}

export interface ExecOptions {
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Ended {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ContainerOptions {
  /** Ports of the machine's loopback that the container has on its own. */
  readonly ports?: readonly number[];
  readonly binds?: readonly Bind[];
  /** Leaves out the checkout's resource, for what only looks at the container. */
  readonly isBare?: boolean;
  /** Makes `/scratch` a disk of its own, of this size: `60m`. */
  readonly scratchSize?: string;
  /** Bytes that all its processes may use together. */
  readonly memoryLimit?: number;
}

/** As Concourse's own init, it only collects what ended. */
const init = ["/bin/sh", "-c", "echo started; while :; do sleep 3600 & wait $!; done"];

/**
 * Starts a container as a Concourse worker makes it for a step, from the resource's own image, with an overlay as its
 * root, an empty `/scratch` and a network that has nothing but loopback.
 */
export async function startContainer(
  kind: ContainerKind,
  options: ContainerOptions = {},
): Promise<Container> {
  await using resources = new AsyncDisposableStack();
  const image = await ownImage();
  const folder = resources.use(await createPrivateFolder("test-step"));
  // A mapped root has no rights of this machine's.
  await chmod(folder.path, 0o711);
  const at = (name: string): string => join(folder.path, name);
  for (const name of ["upper", "work", "rootfs", "build", "scratch", "runc", "resource"])
    await mkdir(at(name));
  if (options.isBare !== true) await writeResource(at("resource"));
  const { isMapped } = rightsOf[kind];
  const own = async (path: string): Promise<void> => {
    if (isMapped) await execa("chown", ["-Rh", "--from=0:0", `${mappedRoot}:${mappedRoot}`, path]);
  };
  for (const name of ["upper", "build", "scratch"]) await own(at(name));
  const lower = isMapped ? await mappedImage(image) : image;
  const binds = [
    { from: at("resource"), to: "/opt/resource" },
    { from: at("build"), to: "/tmp/build" },
    { from: at("scratch"), to: "/scratch" },
    ...(options.binds ?? []),
  ];
  const config = ociConfig(kind, { rootfs: at("rootfs"), binds, init, memoryLimit: options.memoryLimit });
  await writeFile(at("config.json"), JSON.stringify(config));
  const id = `step-${crypto.randomUUID()}`;
  const runc = ["--root", at("runc")];
  // The overlay is mounted where only the container sees it, so that it goes with it.
  const small = `mount -t tmpfs -o size=${options.scratchSize},uid=${isMapped ? mappedRoot : 0},gid=${isMapped ? mappedRoot : 0} tmpfs ${at("scratch")} &&`;
  const script = `${options.scratchSize === undefined ? "" : small} mount -t overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" overlay "$4" && shift 4 && exec runc "$@"`;
  const layers = [lower, at("upper"), at("work"), at("rootfs")];
  const run = [...runc, "run", "--bundle", folder.path, id];
  const server = await startServer({
    file: "unshare",
    args: ["--mount", "sh", "-c", script, "sh", ...layers, ...run],
    ready: /started/,
    stop: async (_pid, ended) => {
      await execa("runc", [...runc, "delete", "--force", id], { env: toolEnvironment(), reject: false });
      await ended;
    },
  });
  resources.use(server);
  const { stdout: state } = await execa("runc", [...runc, "state", id], { env: toolEnvironment() });
  const { pid } = JSON.parse(state) as { pid: number };
  for (const port of options.ports ?? []) resources.use(await relayPorts(pid, port));
  const start = (args: readonly string[], how: ExecOptions = {}) =>
    startExec({ runc, id, kind, folder: folder.path }, args, how);
  const list = async (): Promise<readonly { readonly pid: number; readonly line: string }[]> => {
    const { stdout } = await execa("runc", [...runc, "ps", "--format", "json", id], {
      env: toolEnvironment(),
    });
    const found = (JSON.parse(stdout) as number[]).map(async (each) => {
      const text = await readFile(`/proc/${each}/cmdline`, "utf8").catch(() => "");
      return { pid: each, line: text.replaceAll("\0", " ").trim() };
    });
    const ofInit = new Set([init.join(" "), "sleep 3600"]);
    return (await Promise.all(found)).filter(({ line }) => !ofInit.has(line));
  };
  const owned = resources.move();
  return {
    kind,
    build: at("build"),
    scratch: at("scratch"),
    own,
    start,
    exec: async (...what) => {
      const { exitCode, stdout, stderr } = await (await start(...what)).child;
      return { exitCode, stdout, stderr };
    },
    kill: async (pattern) => {
      for (const { pid: each, line } of await list()) if (pattern.test(line)) process.kill(each, "SIGKILL");
    },
    processes: async () => (await list()).map(({ line }) => line),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The image with the owners that a worker gives a container with a user namespace; kept beside it. */
async function mappedImage(image: string): Promise<string> {
  const mapped = `${image}-mapped`;
  const script = `exec 9>"$1.lock" && flock 9 && [ -d "$1" ] || { rm -rf "$1.new" && cp -a "$2" "$1.new" && chown -Rh --from=0 "$3" "$1.new" && chown -Rh --from=:0 ":$3" "$1.new" && mv "$1.new" "$1"; }`;
  await execa("sh", ["-c", script, "sh", mapped, image, String(mappedRoot)]);
  return mapped;
}

async function startExec(
  { runc, id, kind, folder }: { runc: readonly string[]; id: string; kind: ContainerKind; folder: string },
  args: readonly string[],
  { input = "", env = {}, cwd = "/" }: ExecOptions,
) {
  const file = join(folder, `process-${crypto.randomUUID()}.json`);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  await writeFile(file, JSON.stringify(containerProcess(kind, { args, env: variables, cwd })));
  const child = execa("runc", [...runc, "exec", "--process", file, id], {
    env: toolEnvironment(),
    input,
    reject: false,
    stripFinalNewline: false,
  });
  return { child };
}
