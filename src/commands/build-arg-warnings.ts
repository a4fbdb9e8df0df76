import type { Inputs } from "../builder/inputs/inputs.ts";
import type { BuildOptions } from "../builder/plan/build-options.ts";
import { readInstructions } from "../builder/plan/instructions.ts";
import { parserDirective } from "../builder/plan/parser-directives.ts";
import type { StepContext } from "../host/step-context.ts";
import { suggestName } from "../host/suggest.ts";

/** Warns about build args that look like mistakes. */
export function warnOfArgs(
  options: BuildOptions,
  { buildArgs, dockerfile }: Inputs,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  warnOfSecretArgs(buildArgs, { log, names });
  if (dockerfile === undefined || hasOtherFrontend(buildArgs, dockerfile.text)) return;
  const taken = argsOf(dockerfile.text);
  // Args from a file are not checked, as the file may be for several images.
  const given = [
    ["build_args", options.buildArgs],
    ["image_args", options.imageArgs],
  ] as const;
  for (const [param, values] of given) {
    for (const name of Object.keys(values).filter((arg) => !predefined.test(arg) && !taken.includes(arg))) {
      const near = suggestName(name, taken);
      const hint =
        near === undefined
          ? `add "ARG ${name}" to it, or leave it out`
          : `did you mean ${JSON.stringify(near)}?`;
      log.warn(`${names.param(param, name)}: no ARG of ${dockerfile.shown} takes this value; ${hint}`);
    }
  }
  const isGiven = (arg: string): boolean =>
    Object.hasOwn(buildArgs, arg) || Object.hasOwn(options.imageArgs, arg);
  for (const [name, value] of Object.entries(options.buildArgs)) {
    // A value of several lines is a text of its own, not pairs with the wrong separator.
    const pairs = /[\r\n]/.test(value) ? [] : value.matchAll(/[ \t;]([A-Za-z_][\w.-]*)=/g);
    const inside = Array.from(pairs, ([, other = ""]) => other);
    const other = inside.find((each) => taken.includes(each) && !predefined.test(each) && !isGiven(each));
    if (other !== undefined)
      log.warn(
        `${names.param("build_args", name)}: its value holds "${other}=", but ARG ${other} of ${dockerfile.shown} isn't given as a build arg; if it should be, separate the two by a comma, or write a map`,
      );
  }
}

/**
 * Args that need no ARG, or that BuildKit itself reads (Dockerfile reference, "Predefined ARGs" and the sections
 * after it).
 */
const predefined =
  /^((https?|ftp|no|all)_proxy|source_date_epoch|(target|build)(platform|os|arch|variant)|targetstage|buildkit_\w+)$/i;

/** The names that ARG declares, in any stage. */
function argsOf(dockerfile: string): string[] {
  const args = readInstructions(dockerfile).flatMap(({ name, rest }) => {
    if (name === "ARG") return [rest];
    return name === "ONBUILD" ? (/^ARG\s+(.*)$/is.exec(rest)?.[1] ?? []) : [];
  });
  return args.flatMap((rest) =>
    Array.from(rest.matchAll(/(?:^|\s)["']?([A-Za-z_][\w.-]*)/g), ([, name = ""]) => name),
  );
}

/**
 * Whether another frontend than Docker's reads the Dockerfile. ARG may mean something else there. Pure.
 * @param dockerfile its text. Undefined if it isn't known
 */
export function hasOtherFrontend(
  buildArgs: Readonly<Record<string, string>>,
  dockerfile: string | undefined,
): boolean {
  const given = buildArgs["BUILDKIT_SYNTAX"] ?? parserDirective(dockerfile ?? "", "syntax");
  const [image = ""] = given.trim().split(/\s+/);
  return image !== "" && !/(^|\/)docker\/dockerfile(-upstream)?(:|@|$)/.test(image);
}

/** Build args are in the image's history, where everyone who has the image can read them. */
function warnOfSecretArgs(
  buildArgs: Readonly<Record<string, string>>,
  { log, names }: Pick<StepContext, "log" | "names">,
): void {
  const secret =
    /(^|_)(password|passwd|passphrase|secret|token|api_?key|private_?key|access_?key|credentials?)(_|$)/i;
  for (const [name, value] of Object.entries(buildArgs)) {
    // A URL with a password is recognized by its value.
    if (!secret.test(name) && !/:\/\/[^\s/@:]*:[^\s/@]+@/.test(value)) continue;
    const id = name.toLowerCase();
    log.warn(
      `build arg ${name} looks like a secret, and build args are in the image's history: use ${names.secretText(id)}, and RUN --mount=type=secret,id=${id}`,
    );
  }
}
