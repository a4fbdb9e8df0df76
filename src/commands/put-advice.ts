import { launcherNames } from "../builder/engine/launch/no-launcher.ts";
import { gvisorLimits, vainParams } from "../builder/engine/limits.ts";
import type { AuthorNames } from "../host/author-names.ts";
import type { PutParams } from "../request/put-params.ts";
import type { PutRequest } from "../request/read-parts.ts";
import type { PlacedMessage, Rule } from "../request/rules.ts";
import type { Source } from "../request/source.ts";
import type { TaskRequest } from "../request/task-params.ts";
import { ignoredOptions } from "./option-warnings.ts";

/** Concourse's variables begin so (commands/build-variables.ts). */
const buildVariable = /\$\{?(BUILD_|ATC_)/;

/** What has no effect in a source. It causes a warning, not an error. */
export const sourceAdvice: readonly Rule<Source>[] = [
  {
    of: ["keep"],
    faults: ({ store: { keep } }) =>
      keep !== undefined && keep.builds === undefined && keep.days === undefined
        ? "source.keep has no effect without builds or days: all builds are kept"
        : undefined,
  },
  {
    of: ["registries", "registry_mirrors", "buildkit", "nodes"],
    faults: (source) => {
      const { hosts } = source.registryAccess;
      const mirrored = [...hosts].flatMap(([name, { mirrors }]) => (mirrors === undefined ? [] : [name]));
      return mirrored.length === 0 ? undefined : idleMirrors(`mirrors of ${mirrored.join(", ")}`, source);
    },
  },
];

/** Why mirrors have no effect. Undefined if they have one. */
function idleMirrors(subject: string, { daemons }: Source): string | undefined {
  if (daemons.kind === "own") return undefined;
  const elsewhere = daemons.kind === "nodes" ? "nodes" : "buildkit";
  return `${subject}: not used: the BuildKit that the source's ${elsewhere} names uses the mirrors in its own configuration (buildkitd.toml)`;
}

/** What has no effect in a put. It causes a warning, not an error. */
export const putAdvice: readonly Rule<PutRequest>[] = [
  {
    of: ["registry_mirrors"],
    ofSource: ["buildkit", "nodes"],
    faults: ({ params: { registryMirrors }, source }) =>
      registryMirrors.length === 0 || source === undefined
        ? undefined
        : idleMirrors("registry_mirrors", source),
  },
  {
    of: ["tag_prefix", "version", "version_file", "tags_file"],
    wants: true,
    faults: ({ params: { tagPrefix = "", version, versionFile, tagsFiles } }) => {
      const isUsed =
        version !== undefined ||
        versionFile !== undefined ||
        tagsFiles.some(({ prefix }) => prefix === undefined);
      return tagPrefix === "" || isUsed
        ? undefined
        : "params.tag_prefix has no effect without version, version_file or a tags_file that has no prefix of its own: tags are used as they are given";
    },
  },
  {
    of: ["variant", "version", "version_file"],
    ofSource: ["keep"],
    wants: true,
    faults: ({ params: { variant, version, versionFile }, source }) =>
      variant === undefined ||
      version !== undefined ||
      versionFile !== undefined ||
      source?.store.keep !== undefined
        ? undefined
        : "params.variant has no effect without version or version_file: it is a part of the version's tags",
  },
  {
    of: ["compression"],
    faults: ({ params: { compression } }) =>
      compression?.type === "uncompressed" && compression.level !== undefined
        ? "params.compression: level has no effect on uncompressed layers"
        : undefined,
  },
  {
    of: ["expand", "build_args", "labels", "annotations"],
    faults: ({ params: { expand, buildArgs, labels, annotations } }) => {
      const values = [buildArgs, labels, annotations].flatMap((each) => Object.values(each));
      return !expand || values.some((value) => buildVariable.test(value))
        ? undefined
        : "params.expand has no effect: no value of build_args, labels and annotations has a variable of Concourse's, such as $BUILD_ID";
    },
  },
];

/**
 * What `validate` warns of besides, where the source asks for a gVisor sandbox. A put itself asks its BuildKit, which
 * may also run in one without being asked to.
 */
export const gvisorAdvice: readonly Rule<PutRequest>[] = [
  {
    of: ["allow", "options"],
    ofSource: ["sandbox", "buildkit", "nodes"],
    faults: ({ params, source, names }) =>
      source?.daemons.kind === "own" ? vainInSandbox(source.daemons.sandbox, params, names) : undefined,
  },
];

/** What `validate` warns of where the Dockerfile isn't known. A step looks whether it names another frontend. */
export const optionAdvice: Rule<PutRequest> = {
  of: ["options", "build_args", "dockerfile_inline"],
  faults: ({ params, names }) => ignoredOptions(params, params.dockerfileInline, names),
};

/** {@link gvisorAdvice} for a task, whose variable `SANDBOX` says it. */
export const taskAdvice: readonly Rule<TaskRequest>[] = [
  {
    of: ["options", "SANDBOX"],
    faults: ({ params, sandbox, names }) => vainInSandbox(sandbox, params, names),
  },
];

function vainInSandbox(
  sandbox: TaskRequest["sandbox"],
  params: PutParams,
  names: AuthorNames,
): readonly PlacedMessage[] {
  return sandbox === "gvisor"
    ? vainParams({ limits: gvisorLimits, where: launcherNames.gvisor }, params, names)
    : [];
}
