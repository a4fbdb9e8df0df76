import type { Inputs } from "../inputs/inputs.ts";
import type { BuildOptions } from "./build-options.ts";
import { parserDirective } from "./parser-directives.ts";

/** The build arg that tells BuildKit how to check a Dockerfile. */
export const checkArg = "BUILDKIT_DOCKERFILE_CHECK";

/** BuildKit's check that objects to `FROM ${base}` if `ARG base` has no default. An image arg needs no default. */
const imageArgRule = "InvalidDefaultArgInFrom";

/**
 * The value of {@link checkArg} for a build. Undefined if the Dockerfile's own `# check=` applies. The arg replaces
 * that directive, so the value repeats what the directive skips. Pure.
 */
export function buildChecks(
  { failOnWarnings }: Pick<BuildOptions, "failOnWarnings">,
  { buildArgs, imageArgs, dockerfile }: Pick<Inputs, "buildArgs" | "imageArgs" | "dockerfile">,
): string | undefined {
  const own = buildArgs[checkArg];
  const takesImageArg = imageArgs.some(({ name }) => takesInFrom(dockerfile?.text, name));
  if (!failOnWarnings && !takesImageArg) return own;
  const given = own ?? parserDirective(dockerfile?.text ?? "", "check").replace(/ .*$/, "");
  const parts = given.split(";").filter((part) => part.trim() !== "");
  const isError = parts.some((part) => /^\s*error\s*=\s*(1|t|true)\s*$/i.test(part));
  const skipped = parts.flatMap((part) => /^\s*skip\s*=(.*)$/s.exec(part)?.[1]?.trim() ?? []);
  const rules = takesImageArg && !skipped.includes("all") ? [...skipped, imageArgRule] : skipped;
  return [
    ...(rules.length === 0 ? [] : [`skip=${rules.join(",")}`]),
    // Unknown parts are kept, so that BuildKit refuses them.
    ...parts.filter((part) => !/^\s*(skip|error)\s*=/.test(part)),
    ...(failOnWarnings || isError ? ["error=true"] : []),
  ].join(";");
}

/** Whether a FROM uses this arg. */
function takesInFrom(text: string | undefined, name: string): boolean {
  // The text of a Dockerfile in a git repository isn't available here.
  if (text === undefined) return true;
  const froms = text.matchAll(/^[ \t]*FROM[ \t].*\$\{?(\w+)/gim);
  return Array.from(froms).some(([, arg]) => arg === name);
}
