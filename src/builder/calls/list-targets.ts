import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UserError } from "../../host/errors.ts";
import { withoutCheckComments } from "../plan/parser-directives.ts";
import type { Solve } from "../plan/plan.ts";
import { noCalls } from "../progress/explanations.ts";
import { type AskedBuild, askFrontend } from "./ask-frontend.ts";

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
  const targets = readTargetTable(await askFrontend(asked, await targetsSolve(asked), "frontend.targets"));
  if (targets === undefined) throw new UserError(noCalls);
  return targets;
}

/**
 * The main solve, of a Dockerfile without `# check=` comments above instructions: BuildKit 0.34.2 and others have no
 * linter when they list targets, and such a comment ends the whole daemon (linter.WithMergedConfig: nil pointer).
 */
async function targetsSolve({ solves: [main], inputs, builder }: AskedBuild): Promise<Solve> {
  const { dockerfile } = inputs;
  if (dockerfile === undefined) return main;
  const text = withoutCheckComments(dockerfile.text);
  if (text === dockerfile.text) return main;
  const folder = join(builder.workspace, `targets-${crypto.randomUUID()}`);
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
