import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { startChild } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Platform } from "../../image/descriptor.ts";
import { normalPlatform } from "../../image/platform.ts";
import type { Engine } from "./engine.ts";
import { oldVersion, versionIn } from "./version.ts";

/** A BuildKit that somebody else runs. */
export interface RemoteBuildKit {
  /** In buildctl's form: `tcp://host:port`, `unix:///path`, `docker-container://name`, `kube-pod://…`, `ssh://…`. */
  readonly address: string;
  /** PEM texts. */
  readonly tls?: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly serverName?: string;
  };
}

/** Prepares the connection to a daemon, without contacting it. */
export async function reachRemoteDaemon(
  remote: RemoteBuildKit,
  { step, workspace, name }: { step: StepContext; workspace: string; name: string },
): Promise<Engine> {
  const connection = ["--addr", remote.address, ...(await tlsArguments(remote, join(workspace, name)))];
  let version: string | undefined;
  let accepted: Promise<string | undefined> | undefined;
  const judge = (said: string) => {
    version = versionIn(said) ?? version;
    const old = oldVersion(said);
    return old === undefined ? undefined : `BuildKit at ${remote.address} ${old}`;
  };
  const diagnose = async () => {
    const { problem, said } = await askDaemon(remote, connection, step);
    return problem ?? judge(said);
  };
  const accept = async (said?: () => Promise<string | undefined>) => {
    const words = await said?.();
    return words === undefined ? diagnose() : judge(words);
  };
  return {
    where: `BuildKit at ${remote.address}`,
    version: () => version,
    connection,
    limited: undefined,
    provesLayers: false,
    folders: [],
    accepts: (said) => {
      accepted ??= accept(said);
      return accepted;
    },
    diagnose,
    [Symbol.asyncDispose]: async () => {},
  };
}

async function tlsArguments({ tls }: RemoteBuildKit, folder: string): Promise<string[]> {
  if (tls === undefined) return [];
  await mkdir(folder, { mode: 0o700 });
  const texts = { tlscacert: tls.ca, tlscert: tls.cert, tlskey: tls.key };
  const files = await Promise.all(
    Object.entries(texts).map(async ([flag, text]) => {
      if (text === undefined) return [];
      const file = join(folder, `${flag}.pem`);
      await writeSmallFile(file, text, { mode: 0o600, flag: "wx" });
      return [`--${flag}`, file];
    }),
  );
  return [...files.flat(), ...(tls.serverName === undefined ? [] : ["--tlsservername", tls.serverName])];
}

const Workers = z.array(
  z.looseObject({
    id: z.string(),
    platforms: z.array(
      z.looseObject({ os: z.string(), architecture: z.string(), variant: z.string().optional() }),
    ),
  }),
);

/** A worker of a daemon: the part of it that builds. */
export interface DaemonWorker {
  /** Stored with the daemon's state. */
  readonly id: string;
  /** The machine's native platform comes first, then its variants and the emulated platforms. */
  readonly platforms: readonly Platform[];
}

/** The workers of a daemon; none if it doesn't answer within `deadline` milliseconds. */
export async function daemonWorkers(
  { connection }: Engine,
  step: StepContext,
  deadline: number = slowAnswer,
): Promise<readonly DaemonWorker[]> {
  const question = ["--timeout", "5", "debug", "workers", "--format", "{{json .}}"];
  const asked = await startChild(step, "buildctl", [...connection, ...question], {
    reject: false,
    timeout: deadline,
  });
  if (asked.exitCode !== 0) return [];
  const workers = Workers.parse(JSON.parse(asked.stdout));
  return workers.map(({ id, platforms }) => ({ id, platforms: platforms.map(normalPlatform) }));
}

/** Milliseconds. buildctl itself would wait longer for a peer that accepts the connection and sends nothing. */
const slowAnswer = 8_000;

/** Asks the daemon what it is. If it doesn't answer within seconds, the problem quotes buildctl's error. */
async function askDaemon(
  { address, tls }: RemoteBuildKit,
  connection: readonly string[],
  step: StepContext,
): Promise<{ readonly said: string; readonly problem: string | undefined }> {
  const asked = await startChild(step, "buildctl", [...connection, "--timeout", "5", "debug", "info"], {
    reject: false,
    timeout: slowAnswer,
  });
  step.signal.throwIfAborted();
  if (asked.exitCode === 0) return { said: asked.stdout, problem: undefined };
  if (asked.exitCode === 127) return { said: "", problem: undefined }; // buildctl itself is missing, which the solve reports.
  const words = asked.stderr.replaceAll(/\s+/g, " ").trim();
  const said = words || `no answer within ${slowAnswer / 1000} s`;
  const advice = connectionAdvice(address, tls !== undefined, said);
  return { said: "", problem: `BuildKit at ${address} can't be used: ${said}. ${advice}` };
}

function connectionAdvice(address: string, withTls: boolean, said: string): string {
  // A daemon that rejects our certificate, or gets none, hangs up. Which error we then see depends on the timing.
  if (/certificate|tls|handshake|authority/i.test(said) || (withTls && /broken pipe|reset|EOF/.test(said))) {
    return withTls
      ? "Check the tls of this address: ca must have signed the daemon's certificate, cert and key must be ones it accepts, server_name must be in its certificate"
      : "The daemon seems to want TLS: give tls, with ca, cert and key, beside its address";
  }
  if (!withTls && address.startsWith("tcp://")) {
    return "Check that this address is right and that a buildkitd listens there; if it wants TLS, give tls, with ca, cert and key, beside the address";
  }
  return "Check that this address is right and that a buildkitd listens there";
}
