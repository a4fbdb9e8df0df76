/** Where spans are sent: `source.tracing`. */
export interface TraceTarget {
  /** The URL that takes OTLP's traces over HTTP: `https://otel.example:4318/v1/traces`. */
  readonly url: string;
  /** They are sent with each request, and secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** PEM text, trusted in addition to the system's certificates. */
  readonly caCerts?: string | undefined;
}

/** What is noted with a span, by names in OpenTelemetry's style (`layer.digest`). */
export type Facts = Readonly<Record<string, string | number | boolean>>;

/** A part of the step's work, with a beginning and an end, in a trace (OpenTelemetry, "Spans"). */
export interface Span {
  note(facts: Facts): void;
  /** Adds a span within it for work of another program. Times are in milliseconds since 1970. */
  part(name: string, period: { readonly from: number; readonly to: number }): void;
  /** Marks it as failed, if the work reports its failure in another way than by throwing. */
  fail(reason: unknown): void;
  /** Variables by which a program's own spans become part of this one (`TRACEPARENT`). Empty if nothing is traced. */
  readonly variables: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs some work within a span of this name. Spans of what it calls lie within it. If the work fails, the span is
 * marked with the error. While tracing is off, this only calls `work`.
 */
export type Trace = <T>(name: string, work: (span: Span) => Promise<T>, facts?: Facts) => Promise<T>;

const noSpan: Span = { note: () => {}, part: () => {}, fail: () => {}, variables: {} };

/** Traces nothing. */
export const untraced: Trace = (_name, work) => work(noSpan);
