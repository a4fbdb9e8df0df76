import { type Log, styled } from "../../host/log.ts";
import { maskCredentials } from "../../host/mask-credentials.ts";
import { failureMessage } from "./failure.ts";
import type { FollowedSolve } from "./followed-solve.ts";
import { LineSplitter } from "./lines.ts";
import { parseVertexName } from "./step.ts";
import { isClientLog } from "./text.ts";

/** Passes on what `buildctl build --progress=plain` writes, and counts its steps. */
export function followPlainText(log: Log, label: string | undefined): FollowedSolve {
  const begun = performance.now();
  const lines = new LineSplitter();
  const instructions = new Set<string>();
  const cached = new Set<string>();
  const warnings: string[] = [];
  const said: string[] = [];
  const mark = label === undefined ? "" : `${styled(log, "quiet", `${label}:`)} `;
  const take = (line: string): void => {
    if (isClientLog(line)) return;
    const text = maskCredentials(line);
    const [, id, rest = ""] = /^#(\d+) (.*)$/.exec(text) ?? [];
    if (id !== undefined && parseVertexName(rest).isInstruction) instructions.add(id);
    if (id !== undefined && rest === "CACHED") cached.add(id);
    const [, warning] = /^ - (\w+: .* \(line \d+\))$/.exec(text) ?? [];
    if (warning !== undefined) warnings.push(warning);
    // The error itself is shown at the end, as that of every failed step.
    if (said.length > 0 || text.startsWith("error: ")) said.push(text);
    else log.line(mark + text);
  };
  return {
    write: (chunk) => {
      for (const line of lines.write(chunk)) take(line);
    },
    // Steps are told by numbers there, and their ends in many ways.
    running: () => [],
    end: () => {
      for (const line of lines.end()) take(line);
      const failure = failureMessage(undefined, said, undefined);
      const hits = [...cached].filter((id) => instructions.has(id)).length;
      return {
        steps: { run: instructions.size - hits, cached: hits },
        warnings,
        seconds: (performance.now() - begun) / 1000,
        ...(failure === undefined ? {} : { failure }),
      };
    },
  };
}
