import { join } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { describeExit, startChild } from "../../host/child.ts";
import { formatBytes } from "../../host/format.ts";
import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";
import { createPrivateFolder } from "../../host/private-folder.ts";
import type { Environment, StepContext } from "../../host/step-context.ts";
import type { Engine } from "../engine/engine.ts";
import { buildArguments, type Flag, recordFlags } from "../plan/buildctl-arguments.ts";
import type { AttributePairs } from "../plan/csv.ts";
import { parseEvent } from "../progress/events.ts";
import { LineSplitter } from "../progress/lines.ts";
import { exportingCache, importingCache } from "../progress/step.ts";
import { formatSeconds } from "../progress/text.ts";
import { type DiskBudget, guardDisk } from "./disk-guard.ts";
import { reportMark } from "./transfer-dockerfile.ts";

/** The daemon of a transfer, and how to reach it. */
export interface TransferContext {
  readonly step: StepContext;
  readonly engine: Engine;
  /** buildctl's environment. Its files and variables have the credentials. */
  readonly env: Environment;
  readonly authTls: readonly AttributePairs[];
  readonly workspace: string;
  /** The folder that holds busybox. */
  readonly tools: string;
  readonly platform: string;
  readonly namespace: string;
  /** Milliseconds. A transfer that waits for something to come, and reports nothing new for so long, is given up. */
  readonly silence: number;
}

/** How many times longer copying, and sending a layer, may be silent: they report nothing while they go on. */
const quietWork = 10;

export interface Transfer {
  readonly dockerfile: string;
  /** BuildKit unpacks what it imports before anything is known of its size. */
  readonly budget: DiskBudget;
  readonly imports?: readonly AttributePairs[];
  readonly exports?: readonly AttributePairs[];
  /** A stage whose steps are run again even if they are cached. */
  readonly anew?: string;
  readonly secret?: { readonly id: string; readonly text: string };
  /** The folder for the result's files. */
  readonly output?: string;
}

/** A transfer failed. The message is BuildKit's. */
export class TransferError extends Error {}

export interface Transferred {
  /** The lines that the steps reported, each as its words after the mark. */
  readonly reports: readonly (readonly string[])[];
  /** Whether BuildKit found a cache to import. */
  readonly isImported: boolean;
}

/**
 * Solves one of our own Dockerfiles.
 * @throws TransferError if it fails
 */
export async function runTransfer(context: TransferContext, transfer: Transfer): Promise<Transferred> {
  const { step, engine, env } = context;
  await using folder = await createPrivateFolder("transfer", context.workspace);
  await writeSmallFile(join(folder.path, "Dockerfile"), transfer.dockerfile);
  const secret = join(folder.path, "secret");
  if (transfer.secret !== undefined) await writeSmallFile(secret, transfer.secret.text, { mode: 0o600 });
  const silent = new AbortController();
  const args = [
    ...engine.connection,
    ...transferArguments(context, transfer, { folder: folder.path, secret }),
  ];
  await using guard = guardDisk(engine.folders, transfer.budget);
  const signal = AbortSignal.any([step.signal, silent.signal, guard.signal]);
  const child = startChild({ env, signal }, "buildctl", args, {
    stdout: "ignore",
    buffer: false,
    reject: false,
  });
  const told = new Told();
  let heard = performance.now();
  child.stderr.on("data", (bytes: Buffer) => {
    if (told.write(bytes)) heard = performance.now();
  });
  const timer = setInterval(() => {
    const most = context.silence * (told.isQuietlyWorking() ? quietWork : 1);
    if (performance.now() - heard >= most) silent.abort(most);
  }, context.silence / 10);
  const ended = await child.finally(() => clearInterval(timer));
  step.signal.throwIfAborted();
  if (guard.signal.aborted)
    throw new TransferError(
      `it was stopped, as it took more than ${formatBytes(transfer.budget.bytes)} of the disk, or half of what was free`,
    );
  if (silent.signal.aborted)
    throw new TransferError(`no answer for ${formatSeconds(Number(silent.signal.reason) / 1000)}`);
  if (ended.exitCode !== 0) throw new TransferError(told.failure ?? `buildctl ${describeExit(ended)}`);
  if (told.unwritten !== undefined) throw new TransferError(told.unwritten);
  return { reports: told.reports(), isImported: told.isImported };
}

function transferArguments(
  { tools, platform, namespace, authTls }: TransferContext,
  { imports = [], exports = [], anew, secret, output }: Transfer,
  files: { readonly folder: string; readonly secret: string },
): string[] {
  const options = [
    `platform=${platform}`,
    ...(namespace === "" ? [] : [`build-arg:BUILDKIT_CACHE_MOUNT_NS=${namespace}`]),
    ...(anew === undefined ? [] : [`no-cache=${anew}`]),
  ];
  const secrets = secret === undefined ? [] : [{ id: secret.id, src: files.secret }];
  const outputs = output === undefined ? [] : [{ type: "local", dest: output }];
  const flags: Flag[] = [
    ["--frontend", "dockerfile.v0"],
    ["--progress", "rawjson"],
    ["--local", `context=${tools}`],
    ["--local", `dockerfile=${files.folder}`],
    ...options.map((option) => ["--opt", option] as const),
    ...recordFlags("--import-cache", imports),
    ...recordFlags("--export-cache", exports),
    ...recordFlags("--registry-auth-tlscontext", authTls),
    ...recordFlags(
      "--secret",
      secrets.map((fields) => Object.entries(fields)),
    ),
    ...recordFlags(
      "--output",
      outputs.map((fields) => Object.entries(fields)),
    ),
  ];
  return buildArguments(flags);
}

/** Collects the output of a transfer's buildctl. */
class Told {
  readonly #lines = new LineSplitter();
  readonly #output = new Map<string, string>();
  readonly #words: string[] = [];
  readonly #heard = new Set<string>();
  /** The steps that have begun and not ended, each with its name. */
  readonly #running = new Map<string, string>();
  /** The layers that are being fetched. */
  readonly #fetched = new Set<string>();
  #failure: string | undefined;
  unwritten: string | undefined;
  isImported = false;

  /** @returns whether there was anything new: a fetch that has stalled is reported again and again */
  write(bytes: Buffer): boolean {
    let isNews = false;
    for (const line of this.#lines.write(bytes)) {
      this.#take(line);
      const heard = withoutTimes(line);
      isNews ||= !this.#heard.has(heard);
      this.#heard.add(heard);
    }
    return isNews;
  }

  #take(line: string): void {
    const event = parseEvent(line);
    if (event === undefined) {
      this.#words.push(line);
      return;
    }
    for (const { id, completed } of event.statuses) {
      if (!id.startsWith("sha256:")) continue;
      if (typeof completed === "string") this.#fetched.delete(id);
      else this.#fetched.add(id);
    }
    for (const { digest, name, error, started, completed } of event.vertexes) {
      if (typeof started === "string" && typeof completed !== "string") this.#running.set(digest, name);
      else this.#running.delete(digest);
      const isImport = importingCache.test(name);
      if (isImport && error === "" && typeof completed === "string") this.isImported = true;
      if (error === "") continue;
      if (exportingCache.test(name)) this.unwritten = shown(error);
      // A cache that doesn't exist yet is not an error. Content that should have come from it is missed later.
      else if (!isImport) this.#failure ??= shown(error);
    }
    for (const { vertex, data } of event.logs)
      this.#output.set(vertex, (this.#output.get(vertex) ?? "") + data.toString("utf8"));
  }

  /** Whether a container works, or a cache is written, and nothing is being fetched. */
  isQuietlyWorking(): boolean {
    return this.#fetched.size === 0 && [...this.#running.values()].some(isQuiet);
  }

  get failure(): string | undefined {
    return this.#failure ?? (this.#words.length === 0 ? undefined : shown(this.#words.slice(-3).join(" ")));
  }

  reports(): string[][] {
    return [...this.#output.values()].flatMap((text) =>
      text.split("\n").flatMap((line) => {
        const [mark, ...words] = line.trim().split(" ");
        return mark === reportMark ? [words] : [];
      }),
    );
  }
}

/** Whether a step of this name says nothing while it works: a RUN, and what writes a cache. */
function isQuiet(name: string): boolean {
  return /^\[[^\]]*\] RUN /.test(name) || exportingCache.test(name);
}

function withoutTimes(line: string): string {
  return line.replaceAll(/"\d{4}-\d\d-\d\dT[^"]*"/g, "");
}

function shown(text: string): string {
  return withoutQueries(maskCredentials(text)).replaceAll(/\s+/g, " ").trim().slice(0, 500);
}
