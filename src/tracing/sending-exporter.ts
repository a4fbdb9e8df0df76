import { type ExportResult, ExportResultCode } from "@opentelemetry/core";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import type { SpanSender } from "./span-sender.ts";

/** Gives the step's own spans to a sender. It reports no failures to the SDK, which would log each of them. */
export class SendingExporter implements SpanExporter {
  readonly #sender: SpanSender;

  constructor(sender: SpanSender) {
    this.#sender = sender;
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    void this.#send(spans, done);
  }

  async #send(spans: ReadableSpan[], done: (result: ExportResult) => void): Promise<void> {
    const body = ProtobufTraceSerializer.serializeRequest(spans);
    if (body !== undefined) await this.#sender.send({ body });
    done({ code: ExportResultCode.SUCCESS });
  }

  async shutdown(): Promise<void> {}
}
