import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import { errorCode, messageOf } from "../host/errors.ts";

/** Passes spans on to another exporter, and remembers why they couldn't be sent. */
export class WatchedExporter implements SpanExporter {
  readonly #exporter: SpanExporter;
  #failure: string | undefined;

  constructor(exporter: SpanExporter) {
    this.#exporter = exporter;
  }

  /** Why spans were lost, in a few words. Undefined if none were. */
  failure(): string | undefined {
    return this.#failure;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#exporter.export(spans, (result) => {
      if (result.code !== ExportResultCode.SUCCESS) this.#failure ??= reasonOf(result.error);
      // A failure would be shown by the SDK itself, for each request.
      done({ code: ExportResultCode.SUCCESS });
    });
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  async forceFlush(): Promise<void> {
    await this.#exporter.forceFlush?.();
  }
}

/** The reason if a receiver doesn't answer. */
export const noAnswer = "no answer in time";

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ENOTFOUND: "there is no host of that name",
  EAI_AGAIN: "its name can't be looked up now",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
};

function reasonOf(error: unknown): string {
  if (error === undefined) return "no reason is known";
  const code = errorCode(error);
  // The exporter's own errors have the HTTP status.
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "number")
    return `it answered ${error.code}`;
  const [line = ""] = messageOf(error).split("\n");
  if (line === "Request timed out") return noAnswer;
  return (code === undefined ? undefined : reasons[code]) ?? line.slice(0, 200);
}
