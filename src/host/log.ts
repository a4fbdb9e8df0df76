import { styleText } from "node:util";

/**
 * The step's log, for people who watch the build. It goes to stderr; stdout is for the one JSON document that
 * Concourse reads.
 */
export interface Log {
  /** Whether the reader shows ANSI colours. Concourse does, although the step's stderr isn't a TTY. */
  readonly colours: boolean;
  /** Writes one line, or several separated by newlines, unchanged. */
  line(text: string): void;
  /** Writes a warning: something the pipeline's author should know that doesn't stop the step. */
  warn(text: string): void;
}

/** The styles this program uses, by meaning. */
export type Style = "title" | "quiet" | "good" | "bad" | "warning";

const formats = {
  title: "bold",
  quiet: "dim",
  good: "green",
  bad: "red",
  warning: "yellow",
} as const satisfies Record<Style, Parameters<typeof styleText>[0]>;

/** Returns `text` in a style if the log's reader shows colours, else unchanged. */
export function styled(log: Pick<Log, "colours">, style: Style, text: string): string {
  return log.colours ? styleText(formats[style], text, { validateStream: false }) : text;
}

/** A log that passes whole lines, with their newline, to `write`. */
export function createLog({ write, colours }: { write: (text: string) => void; colours: boolean }): Log {
  return {
    colours,
    line: (text) => write(`${text}\n`),
    warn: (text) => write(`${styled({ colours }, "warning", "warning:")} ${text}\n`),
  };
}
