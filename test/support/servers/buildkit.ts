import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { withDisk } from "../runs/disks.ts";
import type { ServerCertificate } from "./certificates.ts";
import { endPolitely, sendSignal, startServer } from "./http-server.ts";

export interface BuildkitOptions {
  readonly listen?: "unix" | "tcp";
  /** With `tcp`: address and port to listen at, instead of a free port of 127.0.0.1. */
  readonly at?: string;
  /** Serve TLS and demand client certificates of the same authority (mTLS); only with `tcp`. */
  readonly tls?: ServerCertificate;
  /** buildkitd.toml; insecure entitlements, registries and the like. */
  readonly config?: string;
  /** State folder that outlives the daemon; by default its own, removed with it. */
  readonly root?: string;
  /** Keeps the state on a tmpfs(5) of its own, with these options of mount(8), so that nobody else fills or frees its disk. */
  readonly disk?: string;
  readonly snapshotter?: "auto" | "overlayfs" | "native";
  /** Platforms the daemon says it has, instead of those it finds out. */
  readonly platforms?: readonly string[];
  /** Collects garbage by the configuration, or by BuildKit's defaults. Otherwise it collects none, as the step's own. */
  readonly collects?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

export interface BuildkitDaemon extends AsyncDisposable {
  /** `unix:///…` or `tcp://127.0.0.1:port`, as buildctl's `--addr` takes it. */
  readonly address: string;
  /** With a disk of its own, a path that leads to it through the daemon's mount namespace. */
  readonly root: string;
  /** Process id of buildkitd itself. */
  readonly pid: number;
  readonly log: () => string;
  /** Ends the daemon at once, as the kernel's out-of-memory killer does; its containers die with it. */
  kill(): Promise<void>;
  readonly ended: Promise<void>;
}

/**
 * Starts a buildkitd of its own: loopback or a private socket, private state. It is the first process of a PID
 * namespace and has a mount namespace, so its containers and mounts go when it goes (pid_namespaces(7)).
 */
export async function startBuildkitd(options: BuildkitOptions = {}): Promise<BuildkitDaemon> {
  const { listen = "unix", tls, config = "", snapshotter = "auto", platforms = [], env = {} } = options;
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await createPrivateFolder("test-buildkitd"));
  const root = options.root ?? join(folder.path, "root");
  // A daemon that is killed leaves folders that secrets were mounted at.
  const temporary = join(folder.path, "tmp");
  await mkdir(temporary);
  const configFile = join(folder.path, "buildkitd.toml");
  await writeFile(configFile, config);
  const socket = join(folder.path, "buildkitd.sock");
  const namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];
  const address = listen === "unix" ? `unix://${socket}` : `tcp://${options.at ?? "127.0.0.1:0"}`;
  const otel = ["--otel-socket-path", join(folder.path, "otel.sock")];
  const worker = [
    "--containerd-worker=false",
    // As for the step's own daemon (src/builder/engine/daemon-config.ts).
    ...(options.collects ? [] : ["--oci-worker-gc=false"]),
    `--oci-worker-snapshotter=${snapshotter}`,
    ...platforms.map((platform) => `--oci-worker-platform=${platform}`),
  ];
  const certificates = tls ? ["--tlscert", tls.cert, "--tlskey", tls.key, "--tlscacert", tls.ca] : [];
  const daemon = ["buildkitd", "--config", configFile, "--root", root, "--addr", address, "--cdi-disabled"];
  if (options.disk !== undefined) await mkdir(root);
  const mounting = options.disk === undefined ? [] : withDisk(root, options.disk);
  const server = resources.use(
    await startServer({
      file: "unshare",
      args: [...namespaces, "--", ...mounting, ...daemon, ...otel, ...worker, ...certificates],
      env: { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1", TMPDIR: temporary, ...env },
      ready: /running server on ([^"\s]+)/,
      stop: async (pid, ended) => endPolitely((await childOf(pid)) ?? pid, ended),
    }),
  );
  const pid = await childOf(server.pid);
  if (pid === undefined) throw new Error(`buildkitd has gone; it wrote:\n${server.log().slice(-4000)}`);
  const owned = resources.move();
  return {
    address: listen === "unix" ? address : `tcp://${server.announcement[1]}`,
    root: options.disk === undefined ? root : `/proc/${pid}/root${root}`,
    pid,
    log: server.log,
    kill: async () => {
      // unshare(1) waits for its child, and the first process of a PID namespace is reaped after all others in it.
      sendSignal(pid, "SIGKILL");
      await server.ended;
    },
    ended: server.ended,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The process that `parent` forked, read from /proc/PID/stat (proc_pid_stat(5), field 4). */
async function childOf(parent: number): Promise<number | undefined> {
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "latin1").catch(() => "");
    // The command in parentheses may hold blanks and parentheses: fields count from the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[1] === String(parent)) return Number(name);
  }
  return undefined;
}
