import { withoutTraces } from "../../host/go-crash.ts";
import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";
import { limitIn } from "../../host/process-limits.ts";
import type { BuildDescription } from "./build-description.ts";
import { explain, namedFrontend } from "./explanations.ts";
import type { SolveFailure } from "./followed-solve.ts";
import { type BuildStep, shorten } from "./step.ts";

/** Characters of a line of BuildKit's excerpt from the Dockerfile that are shown in a message. */
const excerptLength = 200;

/**
 * Why a solve failed. The message has the step, the end of its output, the Dockerfile's lines, and the reason on the
 * last line. The step's instruction is shown once: in the Dockerfile's lines if BuildKit shows them, otherwise with
 * the step.
 * @param failed the step that failed, if any
 * @param output buildctl's own lines on stderr: an excerpt of the Dockerfile, then `error: …`
 */
export function solveFailure(
  failed: BuildStep | undefined,
  output: readonly string[],
  build: BuildDescription,
): SolveFailure | undefined {
  const said = withoutTraces(output.join("\n")).split("\n");
  const start = said.findIndex((line) => line.startsWith("error: "));
  if (failed === undefined && start === -1) {
    const words = shownWords(said.join("\n"));
    const limit = limitIn(words);
    const message = limit === undefined ? words : `${words}\n${limit}`;
    return words === "" ? undefined : { message, reason: words };
  }
  const words = start === -1 ? (failed?.error ?? "") : said.slice(start).join("\n").slice("error: ".length);
  const whole = withoutWrapping(shownWords(words));
  const reason = middleCut(withoutCommand(whole));
  const excerpt = (start === -1 ? said : said.slice(0, start)).filter((line) => !/^-+$/.test(line));
  const shown = excerpt.map((line) => shorten(nameDockerfile(line, build), excerptLength).trimEnd());
  // The output of a failed push only shows how often it was retried.
  const lines = words.includes("failed to push ") ? [] : (failed?.lastLines ?? []);
  const lastLines = lines.filter((line) => line !== "");
  const isEndOfFrontend = failed === undefined && isExitCode(whole);
  const parts = [
    ...(failed === undefined ? [] : [stepLine(failed, shown.length > 0, lastLines.length > 0)]),
    ...(lastLines.length > 0 ? ["the end of its output:", ...lastLines.map((line) => `  ${line}`)] : []),
    ...shown,
    parseErrorPlace(reason, shown, build) +
      (isEndOfFrontend ? `${namedFrontend} ended with ` : "") +
      explain(reason, build, failed),
  ];
  const message = parts.filter((part) => part !== undefined && part !== "").join("\n");
  return { message, reason, isEndOfFrontend };
}

/**
 * BuildKit's words without credentials. URLs of stores of blobs are signed in their queries. A query that only names
 * the registry for which a mirror is asked tells that it is a mirror.
 */
function shownWords(said: string): string {
  return withoutQueries(maskCredentials(said.trim()), /^\?ns=[\w.:%-]+$/);
}

/** The place in the Dockerfile that a reason names, where no excerpt shows it. Checks and outlines have none. */
function parseErrorPlace(reason: string, shown: readonly string[], { dockerfile }: BuildDescription): string {
  const [, line] = /\bdockerfile parse error on line (\d+): /.exec(reason) ?? [];
  return line === undefined || dockerfile === undefined || shown.length > 0
    ? ""
    : `${dockerfile.name}:${line}: `;
}

/** An exit code that isn't a step's is a frontend's. BuildKit's own frontend isn't a program with an exit code. */
function isExitCode(reason: string): boolean {
  return /^exit code: \d+$/.test(reason);
}

function stepLine({ name }: BuildStep, isShown: boolean, hasOutput: boolean): string | undefined {
  if (name.isInstruction) return `step [${name.place}] failed${isShown ? "" : `: ${name.text}`}`;
  return hasOutput ? `failed: ${name.text}` : undefined;
}

/**
 * Removes the command, which BuildKit repeats in full: `process "/bin/sh -c make" did not complete successfully:
 * exit code: 2`.
 */
function withoutCommand(reason: string): string {
  const end = '" did not complete successfully: ';
  const at = reason.lastIndexOf(end);
  if (at === -1 || !reason.startsWith('process "')) return reason;
  return reason.slice(at + end.length);
}

/** Characters kept at each end of a reason. The middle of a longer reason only repeats the step's input. */
const endLength = 2_000;

function middleCut(text: string): string {
  return text.length <= 2 * endLength ? text : `${text.slice(0, endLength)}…${text.slice(-endLength)}`;
}

/** Removes what BuildKit puts before every reason. */
function withoutWrapping(reason: string): string {
  return reason
    .replace(/^failed to solve: /, "")
    .replace(/^rpc error: code = \w+ desc = /, "")
    .replace(/^failed to load LLB: /, "");
}

/** Names the Dockerfile as the params do. buildctl knows its name only without the folder. */
function nameDockerfile(line: string, { dockerfile }: BuildDescription): string {
  const [, number] = /^[^\s:|]+:(\d+)$/.exec(line) ?? [];
  return number === undefined || dockerfile === undefined ? line : `${dockerfile.name}:${number}`;
}
