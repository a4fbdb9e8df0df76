import type { BuildDescription } from "./build-description.ts";

/** What a reason of BuildKit's means, and what to change. */
export interface Explanation {
  /** Tells the reason. */
  readonly sign: RegExp;
  readonly say: (reason: string, found: RegExpExecArray, build: BuildDescription) => string;
}

/** What BuildKit says of a param's or an instruction's value, and what to write instead. */
export const instructionExplanations: readonly Explanation[] = [
  {
    sign: /failed to parse additional hosts: failed to parse IP (.*)$/,
    say: (_, [, ip], { names }) =>
      `${names.param("add_hosts")}: ${JSON.stringify(ip)} is not an IP address; expected one such as 10.0.0.1 or fd00::1`,
  },
  {
    sign: /^invalid SOURCE_DATE_EPOCH: (.*)$/,
    say: (_, [, given]) =>
      `the build arg SOURCE_DATE_EPOCH is ${JSON.stringify(given)}; expected whole seconds since 1970, such as 1700000000`,
  },
  {
    sign: /^index annotations not supported for single platform export$/,
    say: (_reason, _found, { names }) =>
      `${names.param("annotations")}: a build for one platform has no index that could be annotated: give several ${names.quoted("platforms")}, or leave out "index:"`,
  },
  {
    sign: /^unable to find user (\S+): no matching entries in passwd file$/,
    say: (_, [, user]) =>
      `the image has no user ${JSON.stringify(user)}: add it in a RUN before USER, or use a number, such as USER 1000`,
  },
  {
    sign: /^unable to find group (\S+): no matching entries in group file$/,
    say: (_, [, group]) =>
      `the image has no group ${JSON.stringify(group)}: add it in a RUN before USER, or use a number`,
  },
  {
    sign: /invalid (?:user|group) index -?\d+$/,
    say: () =>
      "--chown can't look up the name, because the stage has no /etc/passwd and /etc/group with it: use numbers, such as --chown=1000:1000",
  },
  {
    sign: /^mkdir (\S+): not a directory$/,
    say: (_, [, path]) => `${path} can't be a folder, because it or a part of its path is a file`,
  },
  {
    sign: /^no build stage in current context$/,
    say: () => "there is no FROM before this instruction: only ARG may stand before the first FROM",
  },
  {
    sign: /^(?:file with no instructions|the Dockerfile cannot be empty)$/,
    say: (_reason, _found, build) => missingFrom(build, "instructions"),
  },
  {
    sign: /^dockerfile contains no stages to build$/,
    say: (_reason, _found, build) => missingFrom(build, "FROM"),
  },
  {
    sign: /^invalid mount target "(.*)"$/,
    say: (_, [, target]) => `a mount can't be at "${target}": add a path to it, as in target=/path`,
  },
  {
    // Nothing else in a Dockerfile has this for its whole message.
    sign: /^invalid syntax$/,
    say: () => "--chmod can't be read: expected an octal mode such as 755, or one such as u=rwX,go=rX",
  },
  {
    sign: /^unknown instruction: \uFFFD\uFFFD/,
    say: () => "the Dockerfile is not text in UTF-8 (it may be UTF-16): save it as UTF-8",
  },
  {
    sign: /^only one (\w+) parser directive can be used$/,
    say: (_, [, name]) =>
      `the Dockerfile has more than one "# ${name}=" line at its top, expected one${name === "check" ? ': join them, as in "# check=skip=FromAsCasing,StageNameCasing;error=true"' : ": remove the others"}`,
  },
  {
    sign: /^failed to parse check options: .*"error=([^"]*)": strconv/,
    say: (_, [, given]) =>
      `the Dockerfile's "# check=" line says error=${given}; expected error=true or error=false`,
  },
  {
    sign: /^failed to parse check options: invalid check option "(.*)"/,
    say: (_, [, given]) =>
      `the Dockerfile's "# check=" line says ${given}; expected skip=RULE, experimental=RULE or error=true, joined by ";"`,
  },
  {
    sign: /^invalid escape token '(.*)' does not match/,
    say: (_, [, given]) =>
      `the Dockerfile's "# escape=" line says ${given}; expected "# escape=\\" or "# escape=\`"`,
  },
  {
    sign: /^failed to parse csv \w+: parse error |^invalid field '[^=]*' must be a key=value pair$/,
    say: (reason) =>
      `${reason}; a value with a comma or a quote is written as in --mount='type=cache,"id=a, b",target=/m'`,
  },
  {
    sign: /^base name \((.*)\) should not be blank$/,
    say: (_, [, name], { names }) =>
      `the name of the base image, ${name}, is empty: give it a value under ${names.quoted("build_args")}, or a default in the ARG before FROM`,
  },
  {
    sign: /^failed to parse stage name ("[^"]*"): (invalid reference format.*)$/,
    say: (_, [, name, why], { names }) =>
      `FROM names ${name}, which is not an image name (${why}): check how it is written; if a variable in it is empty, give it a value under ${names.quoted("build_args")}, or a default in an ARG before the first FROM`,
  },
  {
    sign: /^empty platform value from expression (.*)$/,
    say: (_, [, given], { names }) =>
      `the value of --platform, ${given}, is empty: give it a value under ${names.quoted("build_args")}, or a default in an ARG before FROM`,
  },
  {
    sign: /\b(ENV|LABEL) must have two arguments$/,
    say: (reason, [, name]) => `${reason}: write ${name} name=value, with a value that has blanks in quotes`,
  },
  {
    sign: /^Syntax error - can't find = in /,
    say: (reason) => `${reason} Put a value that has blanks in quotes`,
  },
  {
    sign: /^unterminated heredoc$/,
    say: () => "the heredoc has no end: after it a line has to hold only the word that follows <<",
  },
  {
    sign: /^invalid containerPort: (.*)$/,
    say: (_, [, port]) =>
      `${JSON.stringify(port)} is not a port; expected a number such as 8080, or 8080/udp`,
  },
  {
    sign: /time: (?:missing unit in|invalid) duration "?([^"]*)"?$/,
    say: (_, [, given]) =>
      `${JSON.stringify(given)} is not a duration; expected a number with its unit, such as 30s or 5m`,
  },
  {
    sign: /invalid network mode "?([^"]*)"?$/,
    say: (_, [, mode]) =>
      `there is no network mode ${JSON.stringify(mode)}; expected one of default, none, host`,
  },
  {
    sign: /^invalid signal: (.*)$/,
    say: (_, [, signal]) =>
      `there is no signal ${JSON.stringify(signal)}; expected one such as SIGTERM or 15`,
  },
  {
    sign: /SHELL requires the arguments to be in JSON form$/,
    say: (reason) => `${reason}: SHELL ["/bin/sh", "-c"]`,
  },
];

/** What to say of a Dockerfile without a stage. */
export function missingFrom({ dockerfile }: BuildDescription, missing: "FROM" | "instructions"): string {
  return `${dockerfile?.name ?? "the Dockerfile"} has no ${missing}: it has to begin with FROM, before which only ARG may stand`;
}
