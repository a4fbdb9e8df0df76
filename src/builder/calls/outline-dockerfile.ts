import { maskCredentials } from "../../host/mask-credentials.ts";
import { hostPlatform } from "../../image/platform.ts";
import { type ListedMount, listMounts } from "../cache-mounts/find-mounts.ts";
import { checkArg } from "../plan/build-checks.ts";
import type { Solve } from "../plan/plan.ts";
import { type AskedBuild, askFrontend } from "./ask-frontend.ts";
import { listTargets } from "./list-targets.ts";

/**
 * Lists a Dockerfile's targets, and what the targets of a build take: build args, secrets, SSH keys, cache mounts.
 * @returns tables, as lines for the log
 * @throws UserError if a target can't be built as it is written
 */
export async function outlineDockerfile(asked: AskedBuild): Promise<readonly string[]> {
  const lines = [...(await targetTable(asked))];
  for (const solve of asked.solves) {
    const answer = await askFrontend(asked, withoutChecks(solve), "frontend.outline");
    const text = [answer.trimEnd(), "", ...mountTable(mountsOf(asked, solve))].join("\n").trim();
    const nothing = `${solve.target || "the default target"} takes no build args, secrets, SSH keys or cache mounts`;
    lines.push("", ...(text === "" ? nothing : text).split("\n").map((line) => line.trimEnd()));
  }
  return lines.map((line) => maskCredentials(line));
}

/**
 * The table of a Dockerfile's targets, as lines for the log.
 * @throws UserError if its frontend can't list them
 */
export async function targetTable(asked: AskedBuild): Promise<readonly string[]> {
  const targets = await listTargets(asked);
  const rows = targets.map(({ name, isDefault, description }) => [
    [name || "(without a name)", ...(isDefault ? ["(default)"] : [])].join(" "),
    description,
  ]);
  return table([["TARGET", "DESCRIPTION"], ...rows]);
}

/** The solve without checks, whose findings could make an outline fail. */
function withoutChecks(solve: Solve): Solve {
  return { ...solve, options: new Map([...solve.options, [`build-arg:${checkArg}`, "skip=all"]]) };
}

/** The frontend's own outline has no cache mounts. */
function mountsOf({ step, inputs }: AskedBuild, { target, platforms }: Solve): readonly ListedMount[] {
  const buildPlatform = hostPlatform(step.arch);
  return listMounts({
    dockerfile: inputs.dockerfile?.text ?? "",
    buildArgs: inputs.buildArgs,
    targets: [target],
    platforms: platforms.length > 0 ? platforms : [buildPlatform],
    buildPlatform,
  });
}

function mountTable(mounts: readonly ListedMount[]): readonly string[] {
  if (mounts.length === 0) return [];
  const rows = mounts.map(({ id, target, sharing }) => [id, target, sharing]);
  return table([["CACHE MOUNT", "TARGET", "SHARING"], ...rows]);
}

/** Rows of cells in columns, three blanks apart, like the frontend's own tables. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => widthOf(row[column] ?? ""))),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - widthOf(cell)))
      .join("   ")
      .trimEnd(),
  );
}

/** In characters, as BuildKit counts them. */
function widthOf(text: string): number {
  return Array.from(text).length;
}
