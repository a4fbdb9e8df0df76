import { StringDecoder } from "node:string_decoder";
import { UserError } from "../../host/errors.ts";
import { withShortTraces } from "../../host/go-crash.ts";
import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";

/** Keeps the last characters of a program's log, and waits for a line in it. */
export class LogTail {
  readonly #limit: number;
  /** Joins characters whose bytes are split between two writes. */
  readonly #decoder = new StringDecoder("utf8");
  #text = "";
  #watcher: (() => void) | undefined;

  /** @param limit in characters */
  constructor(limit: number) {
    this.#limit = limit;
  }

  write(bytes: Buffer): void {
    // The traces of a program that Go's runtime ends would push out the reason.
    const text = withShortTraces(this.#text + this.#decoder.write(bytes));
    this.#text = text.slice(-this.#limit);
    this.#watcher?.();
  }

  /** The last lines, indented, without credentials, and without the stack traces that BuildKit and Go's runtime print after a reason. */
  tail(lines: number): string {
    return withoutQueries(maskCredentials(withShortTraces(`${this.#text}\n`)))
      .replaceAll(/^(?:goroutine \d.*|runtime stack):$\n?/gm, "")
      .replaceAll(/^\S.*\n\t\S+\.go:\d+$\n?/gm, "")
      .replaceAll(/^\d+ v[\d.]+ \S*buildkitd .*$\n?/gm, "")
      .trimEnd()
      .split("\n")
      .slice(-lines)
      .map((line) => `  ${line}`)
      .join("\n");
  }

  /**
   * Resolves once the log contains `pattern`. Rejects with the error of `stopped` if the program stops first, with
   * the signal's reason if the step is aborted, and with the message of `late` after `deadline` milliseconds.
   */
  async until(
    pattern: RegExp,
    {
      signal,
      deadline,
      stopped,
      late,
    }: { signal: AbortSignal; deadline: number; stopped: Promise<never>; late: () => string },
  ): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      if (pattern.test(this.#text)) resolve();
    };
    const aborted = () => reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    const timer = setTimeout(() => reject(new UserError(late())), deadline);
    this.#watcher = look;
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) aborted();
    look();
    try {
      await Promise.race([promise, stopped]);
    } finally {
      this.#watcher = undefined;
      clearTimeout(timer);
      signal.removeEventListener("abort", aborted);
    }
  }
}
