import { UserError } from "../../host/errors.ts";
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
  const targets = readTargetTable(await askFrontend(asked, asked.solves[0], "frontend.targets"));
  if (targets === undefined) throw new UserError(noCalls);
  return targets;
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
