import { taskForms } from "./put-params.ts";
import { findForm } from "./task-syntax.ts";

const onlyBuilds =
  "the task only builds: push image/image.tar by a put of the registry-image resource, or build by a put of this resource instead of the task";
const ownCache = "give the task a cache: caches: [{path: cache}]";
const registriesMap = "write REGISTRIES: {registry.example: {username: …, password: …}}";

/**
 * Variables of other tasks that build images: builder-task, from which the oci-build task comes, those after it, and
 * options of docker buildx and kaniko in capitals.
 */
const foreignVariables: Readonly<Record<string, string>> = {
  CACHE: ownCache,
  CACHE_FROM: ownCache,
  CACHE_TO: ownCache,
  DESTINATION: onlyBuilds,
  DOCKER_AUTH_CONFIG: `${registriesMap}, or write its text into a file config.json and name its folder by DOCKER_CONFIG`,
  DOCKER_PASSWORD: registriesMap,
  DOCKER_REGISTRY: registriesMap,
  DOCKER_USERNAME: registriesMap,
  PLATFORM: "did you mean IMAGE_PLATFORM?",
  PUSH: onlyBuilds,
  REGISTRY_PASSWORD: registriesMap,
  REGISTRY_USERNAME: registriesMap,
  REPOSITORY: onlyBuilds,
  TAG: onlyBuilds,
  TAG_FILE: onlyBuilds,
};

/**
 * What to write instead of a task's variable that was meant for this task, which doesn't read it: another task's, or a
 * param of puts. Undefined for any other, since a task's environment may hold anything. Pure.
 */
export function insteadOfVariable(name: string): string | undefined {
  if (findForm(name, taskForms) !== undefined) return undefined;
  if (Object.hasOwn(foreignVariables, name)) return foreignVariables[name];
  const param = name.toLowerCase();
  if (!Object.hasOwn(taskForms, param) || (name !== param && name !== param.toUpperCase())) return undefined;
  const forms = (taskForms[param] ?? []).map((form) =>
    form.kind === "whole" ? form.name : `${form.prefix}*`,
  );
  return forms.length === 0 ? "that is a param of puts alone" : `did you mean ${forms.join(" or ")}?`;
}
