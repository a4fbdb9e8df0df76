import { assertFailedCleanly, type Run, runResource } from "./resource.ts";

/** The log of `validate` without colours. */
export const env = { NO_COLOR: "1" };
/** Runs `validate` on a pipeline. */
export function validate(pipeline: string, args: readonly string[] = []): Promise<Run> {
  return runResource("validate", { stdin: pipeline, args, env });
}

/** The faults of a pipeline that has some, without the name of the file: `12:7: …`. */
export async function faultsOf(pipeline: string, args: readonly string[] = []): Promise<string[]> {
  const run = await validate(pipeline, args);
  assertFailedCleanly(run, /error: (\d+ faults|1 fault) found\n$/);
  return run.stderr
    .split("\n")
    .filter((line) => line.startsWith("-:"))
    .map((line) => line.slice("-:".length).replace("error: ", ""));
}

/** The resource type, and a resource of it. */
export const types =
  "resource_types:\n- { name: oci-build, type: registry-image, source: { repository: our } }\n";
export const web = `${types}resources:
- { name: web, type: oci-build, source: { repository: registry.example/web } }
`;

/** A pipeline with a task in our image. @param more lines of the step itself */
export function task(params: string, more = ""): string {
  return `jobs:
- name: build
  plan:
  - task: build
    ${more}
    config:
      image_resource: { type: registry-image, source: { repository: registry.example/ci/oci-build-resource } }
      params: ${params}
      run: { path: build }
`;
}

/** A pipeline with a put. @param inputs another line of the step */
export function putOf(params: string, inputs = "inputs: [repo]"): string {
  return `${web}jobs:\n- name: build\n  plan:\n  - put: web\n    ${inputs}\n    params: ${params}\n`;
}
