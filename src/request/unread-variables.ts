import { suggestName } from "../host/suggest.ts";
import { taskForms } from "./put-params.ts";
import { findForm, formName } from "./task-syntax.ts";

const onlyBuilds =
  "the task only builds: push image/image.tar by a put of the registry-image resource, or build by a put of this resource instead of the task";
const ownCache = "give the task a cache: caches: [{path: cache}]";
const pushesNothing = "remove it: the task never pushes";
const deliversTar = "remove it: the task delivers image/image.tar, unless OUTPUT_OCI is true";
const plainRegistry = "write REGISTRIES: {registry.example: {insecure: true}}";
const registriesMap = "write REGISTRIES: {registry.example: {username: …, password: …}}";

/**
 * Variables of other tasks that build images: builder-task, from which the oci-build task comes, those after it, and
 * options of docker buildx, kaniko, Buildah and Compose in capitals.
 */
export const foreignVariables: Readonly<Record<string, string>> = {
  BUILD_ARG: "did you mean BUILD_ARG_* or BUILD_ARGS?",
  BUILD_CONTEXT: "did you mean CONTEXT?",
  CACHE: ownCache,
  CACHE_DIR: ownCache,
  CACHE_FROM: ownCache,
  CACHE_REPO: ownCache,
  CACHE_TO: ownCache,
  CHECK: "did you mean CALL: check?",
  CPUSET_CPUS: "did you mean BUILDKIT_OPTION_cpusetcpus?",
  CPU_PERIOD: "did you mean BUILDKIT_OPTION_cpuperiod?",
  CPU_QUOTA: "did you mean BUILDKIT_OPTION_cpuquota?",
  CPU_SHARES: "did you mean BUILDKIT_OPTION_cpushares?",
  CUSTOM_PLATFORM: "did you mean IMAGE_PLATFORM?",
  DESTINATION: onlyBuilds,
  DIGEST_FILE: "remove it: the task delivers the digest as image/digest",
  DOCKER_AUTH_CONFIG: `${registriesMap}, or write its text into a file config.json and name its folder by DOCKER_CONFIG`,
  DOCKER_PASSWORD: registriesMap,
  DOCKER_REGISTRY: registriesMap,
  DOCKER_USERNAME: registriesMap,
  EXTRA_HOSTS: "did you mean BUILDKIT_ADD_HOSTS?",
  FORMAT: "did you mean OUTPUT_OCI or UNPACK_ROOTFS?",
  IIDFILE: "remove it: the task delivers the digest as image/digest",
  INSECURE: plainRegistry,
  INSECURE_REGISTRY: plainRegistry,
  LABEL: "did you mean LABEL_* or LABELS?",
  LINT: "did you mean CALL: check?",
  LOAD: deliversTar,
  MEMORY: "did you mean BUILDKIT_OPTION_memory?",
  MEMORY_SWAP: "did you mean BUILDKIT_OPTION_memswap?",
  MEM_LIMIT: "did you mean BUILDKIT_OPTION_memory?",
  METADATA_FILE: "remove it: the task delivers image/build.json",
  NO_PUSH: pushesNothing,
  OUTPUT:
    "remove it: the task delivers into the output image; OUTPUT_OCI and UNPACK_ROOTFS say in which form",
  OUTPUTS:
    "remove it: the task delivers into the output image; OUTPUT_OCI and UNPACK_ROOTFS say in which form",
  PLATFORM: "did you mean IMAGE_PLATFORM?",
  PUSH: onlyBuilds,
  REGISTRY_MIRROR: "did you mean REGISTRY_MIRRORS?",
  REGISTRY_PASSWORD: registriesMap,
  REGISTRY_USERNAME: registriesMap,
  REPOSITORY: onlyBuilds,
  SECRET: "did you mean BUILDKIT_SECRETTEXT_* or BUILDKIT_SECRET_*?",
  SKIP_PUSH: pushesNothing,
  SKIP_TLS_VERIFY: plainRegistry,
  SQUASH: "remove it: BuildKit can't; copy the result into a last stage FROM scratch",
  STAGE: "did you mean TARGET?",
  TAG: onlyBuilds,
  TAG_FILE: onlyBuilds,
  TARGETS: "did you mean TARGET, and ADDITIONAL_TARGETS for more?",
  TARGET_STAGE: "did you mean TARGET?",
  TAR_PATH: deliversTar,
};

/** The variables that a task reads, without those that are a prefix and a name. */
const wholeNames = Object.values(taskForms)
  .flat()
  .flatMap((form) => (form.kind === "whole" ? form.name : []));

/**
 * What to write instead of a task's variable that was meant for this task, which doesn't read it: another task's, a
 * param of puts, or a name with one wrong letter (two in a long one). Undefined for any other, since a task's
 * environment may hold anything. Pure.
 */
export function insteadOfVariable(name: string): string | undefined {
  if (findForm(name, taskForms) !== undefined) return undefined;
  if (Object.hasOwn(foreignVariables, name)) return foreignVariables[name];
  const param = name.toLowerCase();
  if (!Object.hasOwn(taskForms, param) || (name !== param && name !== param.toUpperCase()))
    return misspelt(name);
  const forms = (taskForms[param] ?? []).map(formName);
  return forms.length === 0 ? "only a put has such a param" : `did you mean ${forms.join(" or ")}?`;
}

function misspelt(name: string): string | undefined {
  if (name.length < 5 || name !== name.toUpperCase()) return undefined;
  const near = suggestName(name, wholeNames, name.length < 9 ? 1 : 2);
  return near === undefined ? undefined : `did you mean ${near}?`;
}
