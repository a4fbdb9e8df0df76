import { limitIn, limitInOutput } from "../../host/process-limits.ts";
import { damagedBase, otherArchive } from "../../image/damaged-layer.ts";
import { certificateAdvice, certificateFaultIn } from "../../registry/certificate-faults.ts";
import { type BuildDescription, stageList } from "./build-description.ts";
import { explainMissingFile, explainPattern } from "./context-failure.ts";
import { explainFetch } from "./fetch-failure.ts";
import { type Explanation, instructionExplanations } from "./instruction-failures.ts";
import { explainLayerFetch } from "./layer-fetch-failure.ts";
import { explainConversion, explainPolicy } from "./policy-failure.ts";
import { explainPull } from "./pull-failure.ts";
import { explainStart, missingMounts } from "./start-failure.ts";
import type { StepName } from "./step.ts";
import { explainUnpack } from "./unpack-failure.ts";

/** The frontend that a Dockerfile names, in a sentence. */
export const namedFrontend =
  'the frontend that the Dockerfile\'s "# syntax=" line (or the build arg BUILDKIT_SYNTAX) names';

/** If the frontend that a Dockerfile names can't be asked about it. */
export const noCalls = `${namedFrontend} answers no such question about a Dockerfile: name docker/dockerfile:1.8 or newer, remove the line (BuildKit has a frontend of its own), or run the task without CALL`;

const explanations: readonly Explanation[] = [
  ...instructionExplanations,
  {
    sign: /^exit code: 137$/,
    say: (reason) =>
      `${reason}; 137 means it was killed (SIGKILL), usually because the worker is out of memory`,
  },
  {
    sign: /^exit code: 127$/,
    say: (reason) => `${reason}; 127 means that a command was not found in the image`,
  },
  {
    sign: /failed to copy: (?:\S+: )?archive\/tar: write too long$|failed to write diff: archive\/tar: write too long$/,
    say: (reason) =>
      `${reason}: a file grew while BuildKit read it for a layer; run the step again, and if that doesn't help, keep BuildKit's state on a local disk of its own`,
  },
  {
    sign: /^lint violation found for rules: (.*)$/,
    say: (reason, [, rules], { names }) =>
      `${reason}: warnings count as errors, by ${names.param("fail_on_warnings")} or the Dockerfile's "# check=error=true"; mend them, or skip a rule by "# check=skip=${firstRule(rules)}" at the top of the Dockerfile ("# check=skip=${firstRule(rules)};error=true" if it has error=true there)`,
  },
  {
    sign: /^target stage "?[^\s"]+"? could not be found/,
    say: (reason, _, build) => `${reason}; ${stageList(build)}`,
  },
  {
    sign: /^invalid stage index \d+/,
    say: (reason, _, build) => `${reason}: COPY --from counts stages from 0; ${stageList(build)}`,
  },
  {
    sign: /^failed to push .*unexpected status from .*: 413 /,
    say: (reason) =>
      `${theRegistryAnswers(reason)}; a proxy before the registry takes no layer so large: raise its limit (nginx: client_max_body_size), or make the layer smaller`,
  },
  {
    sign: /^failed to push .*unexpected status from/,
    say: theRegistryAnswers,
  },
  {
    sign: /^failed to push .*\bblob unknown\b.*\b(sha(?:384|512)):/i,
    say: (reason, [, algorithm]) =>
      `${reason}; the base image has a layer whose digest is a ${algorithm}, and the registry can't keep such layers: rebuild the base with digests of sha256, or name another in FROM`,
  },
  {
    sign: /^failed to push .*\b(denied|forbidden)\b/i,
    say: (reason) =>
      `${reason}; the registry refuses the push: check what this user may do there, and its quota`,
  },
  {
    sign: /failed to verify layer (\S+): expected diffID (\S+), got (\S+)/,
    say: (_, [, layer = "", expected = "", found = ""]) => damagedBase(layer, otherArchive(found, expected)),
  },
  {
    sign: /invalid image config for export: missing (os|architecture)$/,
    say: (_, [, field]) =>
      `the last stage's base image names no ${field} in its config, and no image can be made of it: name it there (crane mutate --set-platform linux/amd64), or only copy the base's files, by COPY --from`,
  },
  {
    sign: /server gave HTTP response to HTTPS client/,
    say: (reason, _, { names }) =>
      `${reason}; that registry uses plain http: set "insecure: true" for its host ${names.registries}`,
  },
  {
    sign: /unsupported context source oci-layout for /,
    say: (reason) =>
      `${reason}; the frontend that the Dockerfile's "# syntax=" line names can't read images of the inputs: name docker/dockerfile:1.5 or newer, or remove the line (BuildKit has one of its own)`,
  },
  {
    sign: /unsupported (?:request frontend\.\w+|frontend capability \S*\.subrequests)\b/,
    say: () => noCalls,
  },
  {
    // A file to which this program has written the author's key.
    sign: /failed to parse \S+\/ssh-\S+-\d+\/key: ssh: /,
    say: (reason, _, { names }) => {
      const [, id = "", why] = /\/ssh-(\S+)-\d+\/key: ssh: (.*)/.exec(reason) ?? [];
      return `${names.param("ssh", id.replaceAll("|", "/"))}: the key can't be used (${why}); expected a private key without a passphrase`;
    },
  },
  {
    sign: /^no SSH key "([^"]*)" forwarded from the client$/,
    say: (_, [, id], { names }) =>
      `the step needs an SSH key that isn't given: add ${names.sshKey(id || "default")}`,
  },
  {
    sign: /^secret (\S+): not found$/,
    say: (_, [, id = ""], { names }) => `the step needs a secret that isn't given: add ${names.secret(id)}`,
  },
  {
    sign: /invalid includepatterns: \[(.*)\]: syntax error in pattern$/,
    say: (_, [, pattern]) =>
      `${JSON.stringify(pattern)} in a COPY or ADD is not a pattern: a "[" needs a "]"; to use a "[" literally, put a backslash before it`,
  },
  {
    sign: /error (?:matching|mutating) source policy: /,
    say: (reason, _, { names }) =>
      `${names.param("source_policy")}: BuildKit can't apply it: ${reason.replace(/^.*source policy: /s, "")}`,
  },
  {
    sign: /\b(network\.host|security\.insecure|device)\b.* is not allowed/,
    say: (reason, _, { names }) =>
      `${reason}; ${names.kind === "put" ? 'name it under "allow" in the params' : 'only a put can allow it, with its param "allow"'} (a daemon elsewhere must permit it in its own configuration)`,
  },
];

function theRegistryAnswers(reason: string): string {
  return reason.replace(/: .*unexpected status from \w+ request to \S+: /, ": the registry answers ");
}

function firstRule(rules: string | undefined): string {
  return (rules ?? "").replace(/,.*/s, "");
}

/** The step that failed, if any. */
export interface FailedStep {
  readonly name: StepName;
  /** As BuildKit writes it. */
  readonly fullName: string;
  readonly lastLines: readonly string[];
}

/** The reason of a failed solve, followed by advice if there is some for it. */
export function explain(reason: string, build: BuildDescription, failed: FailedStep | undefined): string {
  const isOfProgram = reason.startsWith("exit code: ") && failed !== undefined;
  return explainReason(reason, build, failed) + (isOfProgram ? missingMounts(failed.fullName, build) : "");
}

function explainReason(reason: string, build: BuildDescription, failed: FailedStep | undefined): string {
  const step = failed?.name;
  const plain = reason.replace(
    /^(?:failed to parse dockerfile: )?dockerfile parse error on line \d+: /,
    build.dockerfile === undefined ? "$&" : "",
  );
  const pull = explainPull(plain, build, step);
  const special =
    explainPolicy(plain, build) ??
    (pull === undefined ? undefined : pull + explainConversion(plain, build)) ??
    explainMissingFile(plain, build, step) ??
    explainPattern(plain, build) ??
    explainLayerFetch(plain, build) ??
    explainUnpack(plain, build) ??
    explainFetch(plain, build, step);
  if (special !== undefined) return special;
  const start = plain.startsWith("exit code: ") ? explainStart(failed?.lastLines ?? []) : undefined;
  if (start !== undefined) return `${plain}; ${start}`;
  for (const { sign, say } of explanations) {
    const found = sign.exec(plain);
    if (found !== null) return say(plain, found, build);
  }
  const certificate = certificateFaultIn(plain);
  if (certificate !== undefined) return `${plain}; ${certificateAdvice(build.names)[certificate]}`;
  const { ofDaemon = false, ofPrograms = false } = build.limits ?? {};
  const limit =
    (ofDaemon ? limitIn(plain) : undefined) ??
    (ofPrograms ? limitInOutput(failed?.lastLines.join("\n") ?? "") : undefined);
  return limit === undefined ? plain : `${plain}; ${limit}`;
}
