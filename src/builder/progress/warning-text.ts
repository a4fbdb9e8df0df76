import { maskCredentials } from "../../host/mask-credentials.ts";

/** A finding of BuildKit's checks. */
export interface Finding {
  /** The Dockerfile, by the author's name for it. */
  readonly file: string;
  readonly line: number | undefined;
  /** The rule and what is wrong: `StageNameCasing: Stage name 'A' should be lowercase`. */
  readonly text: string;
  /** Of the rule's documentation; may be empty. */
  readonly url: string;
}

/** A finding as a line of the log. */
export function formatFinding({ file, line, text, url }: Finding): string {
  return maskCredentials(`${line ? `${file}:${line}` : file}: ${text}${url && ` (${url})`}`);
}
