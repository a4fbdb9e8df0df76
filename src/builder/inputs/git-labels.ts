import { realpath } from "node:fs/promises";
import { startChild } from "../../host/child.ts";
import { UserError } from "../../host/errors.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Strings } from "../plan/build-options.ts";
import type { InputFolder } from "./input-folder.ts";
import type { ContextInput } from "./inputs.ts";

/** Bytes of a commit object, including its message. */
const commitLimit = 1024 * 1024;

export interface GitLabels {
  readonly context: ContextInput;
  readonly folder: InputFolder;
  /** The version that the image is tagged with, if there is one. */
  readonly version: string | undefined;
}

/**
 * Labels for where an image comes from (OCI image-spec, annotations.md#pre-defined-annotation-keys), read from the
 * git checkout that contains the context. They don't depend on the time of the build, so two builds of one commit
 * give the same image.
 * @throws UserError if the context isn't in a checkout
 */
export async function gitLabels(
  { context, folder, version }: GitLabels,
  step: Pick<StepContext, "env" | "signal">,
): Promise<Strings> {
  if (context.kind === "git") {
    throw new UserError(
      "git_labels: the context is a git URL, which BuildKit fetches by itself; get the repository as an input, or write labels",
    );
  }
  const run = await checkoutAt(context.path, folder, step);
  const commit = await run(["cat-file", "commit", "HEAD"]);
  const revision = (await run(["rev-parse", "--verify", "HEAD^{commit}"]))?.trim();
  if (revision === undefined || commit === undefined)
    throw new UserError("git_labels: the checkout of the context has no commit yet");
  const origin = (await run(["config", "--get", "remote.origin.url"]))?.trim();
  const source = origin === undefined ? undefined : publicUrl(origin);
  const names = "org.opencontainers.image";
  return {
    [`${names}.revision`]: revision,
    [`${names}.created`]: commitTime(commit),
    ...(source !== undefined && { [`${names}.source`]: source }),
    ...(version !== undefined && { [`${names}.version`]: version.trim() }),
  };
}

type RunGit = (args: readonly string[]) => Promise<string | undefined>;

/**
 * Returns a function that runs git in the checkout that contains `path`. The checkout must be inside the step's
 * folder.
 */
async function checkoutAt(
  path: string,
  folder: InputFolder,
  { env, signal }: Pick<StepContext, "env" | "signal">,
): Promise<RunGit> {
  const bounds = await realpath(folder.path);
  const run: RunGit = async (args) => {
    // Only commands that read objects, names and settings are run: other commands could start programs that the
    // repository's configuration names.
    const { exitCode, stdout } = await startChild(
      {
        env: {
          ...env,
          GIT_CONFIG_NOSYSTEM: "1",
          GIT_CONFIG_GLOBAL: "/dev/null",
          GIT_CEILING_DIRECTORIES: bounds,
          GIT_NO_LAZY_FETCH: "1",
          GIT_NO_REPLACE_OBJECTS: "1",
          GIT_OPTIONAL_LOCKS: "0",
          GIT_TERMINAL_PROMPT: "0",
        },
        signal,
      },
      "git",
      // Concourse's inputs may belong to another user, and git refuses such repositories by default.
      ["-c", "safe.directory=*", "-C", path, ...args],
      { reject: false, maxBuffer: commitLimit },
    );
    return exitCode === 0 ? stdout : undefined;
  };
  const found = (await run(["rev-parse", "--absolute-git-dir"]))?.trim();
  if (found !== undefined && (await realpath(found)).startsWith(`${bounds}/`)) return run;
  throw new UserError(
    "git_labels: the context doesn't lie in a git checkout among the inputs; expected a folder with .git in it or above it, as a get of the git resource has it",
  );
}

/** The committer's time in a raw commit (gitformat-commit: `committer NAME <MAIL> SECONDS ZONE`), in UTC. */
function commitTime(commit: string): string {
  const seconds = /^committer .*> (\d+) [+-]\d{4}$/m.exec(commit)?.[1];
  if (seconds === undefined) throw new UserError("git_labels: the commit has no committer's time");
  return new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
}

/** The repository's address without user, password, query and fragment: labels are public. */
function publicUrl(origin: string): string | undefined {
  if (URL.canParse(origin)) {
    const url = new URL(origin);
    if (!/^(https?|ssh|git):$/.test(url.protocol)) return undefined;
    for (const part of ["username", "password", "search", "hash"] as const) url[part] = "";
    return url.href;
  }
  // The scp-like form: user@host:path.
  const [, host, path] = /^(?:[^@/\s]+@)?([^:/\s]+):(\S+)$/.exec(origin) ?? [];
  return host === undefined || path === undefined ? undefined : `ssh://${host}/${path.replace(/^\//, "")}`;
}
