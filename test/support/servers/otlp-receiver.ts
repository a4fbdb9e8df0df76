import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import protobuf from "protobufjs";
import type { ServerCertificate } from "./certificates.ts";

/** A span as a receiver of OTLP gets it. */
export interface ReceivedSpan {
  /** `service.name` of what sent it. */
  readonly service: string;
  readonly name: string;
  /** In hex. */
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of a trace. */
  readonly parentSpanId: string;
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Undefined unless it is marked with an error. */
  readonly error: string | undefined;
}

export interface OtlpReceiver extends AsyncDisposable {
  /** The base URL. */
  readonly endpoint: string;
  readonly port: number;
  readonly requests: readonly { readonly path: string; readonly headers: IncomingHttpHeaders }[];
  readonly spans: () => readonly ReceivedSpan[];
}

/** OTLP's messages of spans (opentelemetry-proto, collector/trace/v1 and trace/v1), as far as tests read them. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Answer { PartialSuccess partial_success = 1; }
  message PartialSuccess { int64 rejected_spans = 1; string error_message = 2; }
  message Export { repeated ResourceSpans resource_spans = 1; }
  message ResourceSpans { Resource resource = 1; repeated ScopeSpans scope_spans = 2; }
  message Resource { repeated KeyValue attributes = 1; }
  message ScopeSpans { repeated Span spans = 2; }
  message KeyValue { string key = 1; AnyValue value = 2; }
  message AnyValue { oneof value { string string_value = 1; bool bool_value = 2; int64 int_value = 3; double double_value = 4; } }
  message Status { string message = 2; int32 code = 3; }
  message Span {
    bytes trace_id = 1; bytes span_id = 2; bytes parent_span_id = 4; string name = 5;
    fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9; Status status = 15;
  }
`);
const Export = root.lookupType("Export");
const Answer = root.lookupType("Answer");

interface KeyValue {
  readonly key: string;
  readonly value?: Readonly<Record<string, unknown>>;
}
interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly KeyValue[];
  readonly status?: { readonly message?: string; readonly code?: number };
}
interface ExportedSpans {
  readonly resourceSpans?: readonly {
    readonly resource?: { readonly attributes?: readonly KeyValue[] };
    readonly scopeSpans?: readonly { readonly spans?: readonly ExportedSpan[] }[];
  }[];
}

/** The names of the spans that lead to a span, from the top. */
export function pathTo(receiver: OtlpReceiver, span: ReceivedSpan): string[] {
  const above = receiver.spans().find(({ spanId }) => spanId === span.parentSpanId);
  return [...(above === undefined ? [] : pathTo(receiver, above)), span.name];
}

/** OpenTelemetry's status of a span that failed. */
const failed = 2;

export interface ReceiverOptions {
  /** Where it redirects to: a base URL. */
  readonly location?: string;
  /** Its certificate, if it uses TLS. */
  readonly certificate?: ServerCertificate;
  /** More headers of its answers, which may replace `content-type`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The body of its answers. It is empty by default. */
  readonly body?: string | Uint8Array;
  /** Number of requests that it answers with `status`; the later ones are taken. Default: all. */
  readonly times?: number;
  /** Milliseconds after which it answers its first request. Default: 0. */
  readonly firstAnswer?: number;
  /** Milliseconds after which it answers its second request and later ones. Default: 0. */
  readonly laterAnswers?: number;
}

/** The body of an answer that rejects spans (collector/trace/v1, `ExportTraceServiceResponse`). */
export function partialSuccess(rejectedSpans: number, errorMessage: string): Uint8Array {
  return Answer.encode(Answer.create({ partialSuccess: { rejectedSpans, errorMessage } })).finish();
}

/**
 * Receives traces by OTLP over HTTP on a free loopback port.
 * @param status what it answers with
 */
export async function startOtlpReceiver(
  status = 200,
  {
    location,
    certificate,
    headers = {},
    body: answered = "",
    times = Infinity,
    firstAnswer = 0,
    laterAnswers = 0,
  }: ReceiverOptions = {},
): Promise<OtlpReceiver> {
  const requests: { path: string; headers: IncomingHttpHeaders }[] = [];
  const spans: ReceivedSpan[] = [];
  const listener: RequestListener = (request, response) => {
    requests.push({ path: request.url ?? "", headers: request.headers });
    const current = requests.length > times ? 200 : status;
    const pause = requests.length > 1 ? laterAnswers : firstAnswer;
    const answer = async (): Promise<void> => {
      const body = await buffer(request);
      const plain = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
      if (current === 200) spans.push(...spansIn(plain));
      await delay(pause);
      const redirect = location === undefined ? {} : { location: `${location}${request.url}` };
      const type = { "content-type": "application/x-protobuf" };
      response.writeHead(current, { ...type, ...redirect, ...headers }).end(answered);
    };
    answer().catch(() => response.destroy());
  };
  const server =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer(
          { cert: await readFile(certificate.cert), key: await readFile(certificate.key) },
          listener,
        );
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${port}`,
    port,
    requests,
    spans: () => spans,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

function spansIn(body: Uint8Array): ReceivedSpan[] {
  const { resourceSpans = [] } = Export.toObject(Export.decode(body), {
    longs: String,
    bytes: String,
  }) as ExportedSpans;
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = String(valuesOf(resource?.attributes)["service.name"]);
    return scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => receivedSpan(span, service)));
  });
}

function receivedSpan(span: ExportedSpan, service: string): ReceivedSpan {
  return {
    service,
    name: span.name,
    traceId: hex(span.traceId),
    spanId: hex(span.spanId),
    parentSpanId: hex(span.parentSpanId ?? ""),
    start: BigInt(span.startTimeUnixNano),
    end: BigInt(span.endTimeUnixNano),
    attributes: valuesOf(span.attributes),
    error: span.status?.code === failed ? (span.status.message ?? "") : undefined,
  };
}

function valuesOf(attributes: readonly KeyValue[] = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value ?? {})[0]]));
}

/** protobufjs gives bytes in base64. */
function hex(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}
