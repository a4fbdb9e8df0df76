import { messageOf } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import type { Environment } from "../host/step-context.ts";
import type { TraceTarget } from "../host/trace.ts";
import { openConnections } from "../registry/connection.ts";

/** Spans in the encoding of OTLP (opentelemetry-proto, `ExportTraceServiceRequest`). */
export interface EncodedSpans {
  readonly body: Uint8Array;
  /** `gzip`, if the body is compressed. */
  readonly encoding?: string | undefined;
}

/** Sends spans to a receiver, and remembers why some were lost. */
export interface SpanSender extends Disposable {
  /** Never rejects. A request that fails isn't repeated, because the receiver may have taken the spans. */
  send(spans: EncodedSpans): Promise<void>;
  /** Settles when all requests so far have ended. */
  idle(): Promise<void>;
  /** Why spans were lost, in a few words and without secrets. Undefined if none were. */
  failure(): string | undefined;
}

/** Milliseconds that one request may take. */
const requestTime = 750;

/** The reason if a receiver doesn't answer. */
export const noAnswer = "no answer in time";

/**
 * Opens the only way to the receiver, for the step's spans and for BuildKit's. It uses the proxy of the environment
 * and the system's CA certificates, and follows no redirect: another host must not get the headers.
 */
export function openSender({ url, headers, caCerts }: TraceTarget, env: Environment): SpanSender {
  const target = new URL(url);
  const access = { hosts: new Map(), ...(caCerts !== undefined && { caCerts }) };
  const connections = openConnections(access, target.host, env);
  const pending = new Set<Promise<void>>();
  let failure: string | undefined;
  const post = async ({ body, encoding }: EncodedSpans): Promise<string | undefined> => {
    const signal = AbortSignal.timeout(requestTime);
    const fixed = {
      "content-type": "application/x-protobuf",
      ...(encoding !== undefined && { "content-encoding": encoding }),
    };
    const exchange = { method: "POST", url: target, headers: { ...headers, ...fixed }, body } as const;
    try {
      const response = await connections.send(exchange, { signal, stall: requestTime });
      response.on("error", () => {}).resume();
      return answerFault(response.statusCode ?? 0, response.headers.location, target);
    } catch (thrown) {
      return signal.aborted ? noAnswer : reasonOf(thrown, target);
    }
  };
  const sendNow = async (spans: EncodedSpans): Promise<void> => {
    const fault = await post(spans);
    if (fault !== undefined) failure ??= maskCredentials(fault, Object.values(headers));
  };
  return {
    send: async (spans) => {
      const sent = sendNow(spans);
      pending.add(sent);
      await sent;
      pending.delete(sent);
    },
    idle: async () => void (await Promise.all(pending)),
    failure: () => failure,
    [Symbol.dispose]: () => connections[Symbol.dispose](),
  };
}

function answerFault(status: number, location: string | undefined, target: URL): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  const leadsTo = location === undefined ? null : URL.parse(location, target.href);
  if (status < 300 || status >= 400 || leadsTo === null) return `it answered ${status}`;
  // Of a URL from elsewhere only the origin is shown.
  return `it answered ${status}, a redirect to ${leadsTo.origin}, which is not followed because the headers may be secret; make that the endpoint`;
}

function reasonOf(thrown: unknown, { origin, pathname }: URL): string {
  const asked = `POST ${origin}${pathname}: `;
  const message = messageOf(thrown);
  if (message.includes("no answer within")) return noAnswer;
  const [line = ""] = (message.startsWith(asked) ? message.slice(asked.length) : message).split("\n");
  return line.slice(0, 200);
}
