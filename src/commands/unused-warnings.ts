import { namedContextKey } from "../builder/inputs/context-names.ts";
import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import { mountedParam, plainMountFields, readFlags, readInstructions } from "../builder/plan/instructions.ts";
import { messageOf } from "../host/errors.ts";
import { orNone } from "../host/or-none.ts";
import type { StepContext } from "../host/step-context.ts";
import { suggestName } from "../host/suggest.ts";
import { parseKnownPlatform } from "../image/platform-names.ts";
import { hasOtherFrontend } from "./build-arg-warnings.ts";

/**
 * Warns about secrets, keys, contexts and stages in the params that the Dockerfile doesn't use, with the nearest name
 * that it does use. Instructions of base images (ONBUILD) are not known here.
 */
export function warnOfUnused(
  options: BuildOptions,
  { buildArgs, dockerfile, context }: Inputs,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  for (const [id, source] of Object.entries(options.secrets)) {
    if ("text" in source && source.text === "")
      log.warn(`${names.param("secrets", id)}: its text is empty (is a variable empty?)`);
  }
  if (dockerfile === undefined || hasOtherFrontend(buildArgs, dockerfile.text)) return;
  const used = usesIn(dockerfile.text);
  const { shown } = dockerfile;
  const warn = (subject: string, problem: string, known: readonly string[], name: string) => {
    // A name with a variable may be any name.
    if (known.some((each) => each.includes("$"))) return;
    const near = suggestName(name, known);
    log.warn(`${subject}: ${problem}${near === undefined ? "" : `; did you mean ${JSON.stringify(near)}?`}`);
  };
  for (const id of Object.keys(options.secrets)) {
    if (used.secrets.includes(id) || ofBuildKit.test(id)) continue;
    warn(
      names.param("secrets", id),
      `no RUN of ${shown} mounts it (--mount=type=secret,id=${id})`,
      used.secrets,
      id,
    );
  }
  const fetchesByGit =
    context.kind === "git" || used.hasRemoteAdd || Object.values(options.contexts).some(isFetched);
  for (const id of Object.keys(options.ssh)) {
    if (used.ssh.includes(id) || (id === "default" && fetchesByGit)) continue;
    const flag = id === "default" ? "--mount=type=ssh" : `--mount=type=ssh,id=${id}`;
    warn(names.param("ssh", id), `no RUN of ${shown} mounts it (${flag})`, used.ssh, id);
  }
  for (const name of Object.keys(options.contexts)) {
    const key = namedContextKey(name);
    if (used.images.some((image) => image === name || isKeyOf(key, image))) continue;
    warn(`contexts.${name}`, `no FROM and no "from" of ${shown} names it`, used.images, name);
  }
  for (const platform of used.platforms) {
    const fault = platformFault(platform, `${shown}: FROM --platform`);
    if (fault !== undefined) log.warn(fault);
  }
  const unknown = Array.isArray(options.noCache) ? options.noCache : [];
  for (const name of unknown.filter((each) => !used.stages.includes(each.toLowerCase())))
    warn(`no_cache: ${JSON.stringify(name)}`, `${shown} has no such stage`, used.stages, name);
}

/** Ids of secrets that BuildKit itself reads, for git and http sources. */
const ofBuildKit = /^(GIT_AUTH_(TOKEN|HEADER)|HTTP_AUTH_(TOKEN|HEADER)_)/;

function isFetched(text: string): boolean {
  return /^(git@|[a-z+]+:\/\/)/i.test(text);
}

/** Whether an image's name in the Dockerfile leads to the context with this key. */
function isKeyOf(key: string, image: string): boolean {
  return orNone(() => namedContextKey(image)) === key;
}

function platformFault(platform: string, subject: string): string | undefined {
  try {
    parseKnownPlatform(platform, subject);
    return undefined;
  } catch (thrown) {
    return messageOf(thrown);
  }
}

interface Uses {
  readonly secrets: readonly string[];
  readonly ssh: readonly string[];
  /** Names in FROM, in `--from` and in the `from` of mounts. */
  readonly images: readonly string[];
  /** In lower case. */
  readonly stages: readonly string[];
  /** What FROM has as its `--platform`, without variables. */
  readonly platforms: readonly string[];
  /** Whether an ADD fetches something, which may be a git repository. */
  readonly hasRemoteAdd: boolean;
}

function usesIn(text: string): Uses {
  const [secrets, ssh, images, stages]: [string[], string[], string[], string[]] = [[], [], [], []];
  const platforms: string[] = [];
  let hasRemoteAdd = false;
  for (const { name: given, rest: all } of readInstructions(text)) {
    const [, inner = "", trigger = ""] =
      given === "ONBUILD" ? (/^(\S+)\s*(.*)$/s.exec(all) ?? []) : ["", given, all];
    const { flags, words } = readFlags(trigger);
    if (inner.toUpperCase() === "FROM") {
      platforms.push(...flags.flatMap((flag) => /^--platform=([^$]*)$/.exec(flag)?.[1] ?? []));
      const [image = "", as = "", stage] = words.split(/\s+/);
      images.push(image);
      if (as.toUpperCase() === "AS" && stage !== undefined) stages.push(stage.toLowerCase());
    }
    if (inner.toUpperCase() === "ADD" && /\S:\S/.test(words)) hasRemoteAdd = true;
    for (const flag of flags) {
      const [, from] = /^--from=(.*)$/.exec(flag) ?? [];
      if (from !== undefined) images.push(from);
      const [, mount] = /^--mount=(.*)$/.exec(flag) ?? [];
      if (mount === undefined) continue;
      const fields = plainMountFields(mount);
      const mounted = mountedParam(fields);
      if (mounted !== undefined) (mounted.param === "ssh" ? ssh : secrets).push(mounted.id);
      const of = fields.get("from");
      if (of !== undefined) images.push(of);
    }
  }
  return { secrets, ssh, images, stages, platforms, hasRemoteAdd };
}
