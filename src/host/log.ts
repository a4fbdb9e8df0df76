import { styleText } from "node:util";

/**
 * The step's log: what a person watching the build reads. It goes to stderr; stdout belongs to the one JSON
 * document that Concourse reads.
 */
export interface Log {
  /** Whether the reader shows ANSI colours. Concourse does, though its stderr is no TTY. */
  readonly colours: boolean;
  /** One line (or several, split at newlines), written as it is. */
  line(text: string): void;
  /** Something the author should know that doesn't stop the step. */
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

/** `text` in a style when the log's reader shows colours, else as it is. */
export function styled(log: Pick<Log, "colours">, style: Style, text: string): string {
  return log.colours ? styleText(formats[style], text, { validateStream: false }) : text;
}

/** A log that writes to `write`, which gets whole lines with their newline. */
export function createLog({ write, colours }: { write: (text: string) => void; colours: boolean }): Log {
  return {
    colours,
    line: (text) => write(`${text}\n`),
    warn: (text) => write(`${styled({ colours }, "warning", "warning:")} ${text}\n`),
  };
}
