import { mountedParam, plainMountFields, readFlags } from "../plan/instructions.ts";
import type { BuildDescription } from "./build-description.ts";

/**
 * Names the secrets and SSH keys that a failed RUN mounts and that aren't given, with what to add. BuildKit runs it
 * without them unless they are `required`. Empty if all are given. Pure.
 * @param name of the step, as BuildKit writes it
 */
export function missingMounts(name: string, { given, names }: BuildDescription): string {
  const [, rest] = /^\[[^\]]*\] RUN (.*)$/s.exec(name) ?? [];
  if (rest === undefined || given === undefined) return "";
  const notes = readFlags(rest).flags.flatMap((flag) => {
    const [, mount] = /^--mount=(.*)$/s.exec(flag) ?? [];
    const mounted = mount === undefined ? undefined : mountedParam(plainMountFields(mount));
    if (mounted === undefined || !/^[\w./:-]+$/.test(mounted.id)) return [];
    if (given[mounted.param].includes(mounted.id)) return [];
    return mounted.param === "ssh"
      ? [`an SSH key that it mounts isn't given; if it needs it, add ${names.sshKey(mounted.id)}`]
      : [`a secret that it mounts isn't given; if it needs it, add ${names.secret(mounted.id)}`];
  });
  return [...new Set(notes)].map((note) => `\n${note}`).join("");
}

/**
 * Explains why the program of a RUN couldn't be started, and what to change. Returns undefined if it was started. Pure.
 * @param output the last lines of the step's output, where runc and the kernel say it
 */
export function explainStart(output: readonly string[]): string | undefined {
  const said = output.findLast((line) => line !== "") ?? "";
  if (/\bexec \S+: exec format error$/.test(said))
    return "the program is for another platform, or is a script without a first line such as #!/bin/sh";
  const [, program, why = ""] = /^runc run failed: .*exec: "([^"]+)": (.*)$/.exec(said) ?? [];
  if (program === undefined) return undefined;
  if (program === "/bin/sh" && /no such file/.test(why))
    return 'the image has no /bin/sh, which runs a RUN (FROM scratch has none): write RUN ["program", "argument"], or run it in another stage and COPY its result';
  if (/no such file|not found/.test(why))
    return `the image has no program ${JSON.stringify(program)}: check the name, and what the base image has`;
  if (/permission denied/.test(why))
    return `${program} is not executable: COPY it with --chmod=755, or make it executable in the repository (git update-index --chmod=+x)`;
  return undefined;
}
