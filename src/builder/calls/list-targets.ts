import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../../host/errors.ts";
import { uniqueId } from "../../host/unique-id.ts";
import { withoutCheckComments } from "../plan/parser-directives.ts";
import type { Solve } from "../plan/plan.ts";
import { noCalls } from "../progress/explanations.ts";
import { missingFrom } from "../progress/instruction-failures.ts";
import { type AskedBuild, askFrontend, EndOfFrontend } from "./ask-frontend.ts";

/** A stage of a Dockerfile. */
export interface Target {
  /** Empty if the Dockerfile gives it none. */
  readonly name: string;
  /** Whether it is built if no target is named. */
  readonly isDefault: boolean;
  /** The comment above its FROM, if that begins with its name. May be empty. */
  readonly description: string;
}

/**
 * The stages of the Dockerfile, in its order.
 * @throws UserError if its frontend can't list them
 */
export async function listTargets(asked: AskedBuild): Promise<readonly Target[]> {
  const answer = await askFrontend(asked, await targetsSolve(asked), "frontend.targets").catch(
    (thrown: unknown) => {
      throw asked.inputs.dockerfile === undefined && thrown instanceof EndOfFrontend
        ? endedByComment(thrown)
        : thrown;
    },
  );
  const targets = readTargetTable(answer);
  if (targets === undefined) throw new UserError(noCalls);
  if (targets.length === 0) throw new UserError(missingFrom(asked.described, "FROM"));
  return targets;
}

/** The error of a frontend that ended when it was asked about a Dockerfile that this program can't change for it. */
function endedByComment(ended: UserError): UserError {
  return new UserError(
    `${ended.message}; docker/dockerfile up to 1.28 ends so if a "# check=" comment is above an instruction: move it to the top of the Dockerfile, remove the "# syntax=" line, or run the task without CALL`,
    { cause: ended },
  );
}

/**
 * The main solve, of a Dockerfile without `# check=` comments above instructions. Frontends as new as docker/dockerfile
 * 1.28 have no linter when they list targets, and end at such a comment (linter.WithMergedConfig: nil pointer). BuildKit's
 * own frontend would end with the whole daemon, which is edited not to (tools/edit/buildkitd.go).
 */
async function targetsSolve({ solves: [main], inputs, builder }: AskedBuild): Promise<Solve> {
  const { dockerfile } = inputs;
  if (dockerfile === undefined) return main;
  const text = withoutCheckComments(dockerfile.text);
  if (text === dockerfile.text) return main;
  const folder = join(builder.workspace, `targets-${uniqueId()}`);
  const file = join(folder, dockerfile.name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return { ...main, locals: new Map([...main.locals, ["dockerfile", folder]]) };
}

/**
 * Reads an answer to `frontend.targets`, which is a table (BuildKit, frontend/subrequests/targets):
 *
 *     TARGET         DESCRIPTION
 *     base
 *     app (default)  the program itself
 *
 * A stage may lack a name. Pure.
 * @returns undefined if the text is something else: a frontend that ignores the request builds instead
 */
export function readTargetTable(answer: string): readonly Target[] | undefined {
  const [head = "", ...rows] = answer.split("\n");
  const [, column = ""] = /^(TARGET +)DESCRIPTION$/.exec(head) ?? [];
  if (column === "") return undefined;
  // The last row ends with a newline.
  return rows.slice(0, -1).map((row) => {
    const characters = Array.from(row);
    const label = characters.slice(0, column.length).join("").trim();
    return {
      name: label.replace(/ ?\(default\)$/, ""),
      isDefault: label.endsWith("(default)"),
      description: characters.slice(column.length).join("").trim(),
    };
  });
}
