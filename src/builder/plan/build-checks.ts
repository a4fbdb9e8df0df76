import type { Inputs } from "../inputs/inputs.ts";
import type { BuildOptions } from "./build-options.ts";
import { parserDirective } from "./parser-directives.ts";

/** The build arg by which BuildKit is told how to check a Dockerfile. */
export const checkArg = "BUILDKIT_DOCKERFILE_CHECK";

/** BuildKit calls `FROM ${base}` a fault where `ARG base` has no default; an image arg needs none. */
const imageArgRule = "InvalidDefaultArgInFrom";

/**
 * The value of {@link checkArg} for a build, undefined when the Dockerfile's own `# check=` is to count. The arg takes
 * that directive's place, so what the directive skips is said once more. Pure.
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
    // What BuildKit doesn't know, it refuses.
    ...parts.filter((part) => !/^\s*(skip|error)\s*=/.test(part)),
    ...(failOnWarnings || isError ? ["error=true"] : []),
  ].join(";");
}

/** Whether a FROM is made of this arg. */
function takesInFrom(text: string | undefined, name: string): boolean {
  // A Dockerfile in a git repository can't be looked at here.
  if (text === undefined) return true;
  const froms = text.matchAll(/^[ \t]*FROM[ \t].*\$\{?(\w+)/gim);
  return Array.from(froms).some(([, arg]) => arg === name);
}
