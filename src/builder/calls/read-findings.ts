import type { Finding } from "../progress/warning-text.ts";

/**
 * Reads the findings in a frontend's answer to `frontend.lint`, which is a text (BuildKit,
 * frontend/subrequests/lint):
 *
 *     WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
 *     Stage name 'Final' should be lowercase
 *     Dockerfile:13
 *     --------------------
 *       12 |
 *       13 | >>> FROM base AS Final
 *     --------------------
 *
 * A finding about the whole file has neither a place nor an excerpt. Pure.
 * @param file the Dockerfile, by the author's name for it
 */
export function readFindings(answer: string, file: string): readonly Finding[] {
  const blocks = answer.split(/^WARNING: /m).slice(1);
  return blocks.map((block) => {
    const [, rule = "", url = "", rest = ""] = /^(\S+)(?: - (\S+))?\n([\s\S]*)$/.exec(block) ?? [];
    const [, detail = rest, line] = /^([\s\S]*?)\n[^\n]*:(\d+)\n-{20}\n/.exec(rest) ?? [];
    return {
      file,
      line: line === undefined ? undefined : Number(line),
      text: `${rule}: ${detail.trim()}`,
      url,
    };
  });
}
