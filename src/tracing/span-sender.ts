import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import type { Environment } from "../host/step-context.ts";
import type { TraceTarget } from "../host/trace.ts";
import { openConnections } from "../registry/connection.ts";
import { AttemptFailure } from "../registry/registry-error.ts";
import { type RetryPolicy, retryAfterOf, startRetries } from "../registry/retry-policy.ts";
import { readAnswer, type Verdict } from "./receiver-answer.ts";

/** Spans in the encoding of OTLP (opentelemetry-proto, `ExportTraceServiceRequest`). */
export interface EncodedSpans {
  readonly body: Uint8Array;
  /** `gzip`, if the body is compressed. */
  readonly encoding?: string | undefined;
}

/** Sends spans to a receiver, and remembers why some were lost. */
export interface SpanSender extends Disposable {
  /**
   * Never rejects. A request is repeated if the receiver asks for it, or can't be reached. After any other failure it
   * isn't, because the receiver may have taken the spans.
   */
  send(spans: EncodedSpans): Promise<void>;
  /** No request waits from now on: it is repeated once more at most. */
  hurry(): void;
  /** Settles when all requests so far have ended. */
  idle(): Promise<void>;
  report(): SpanReport;
}

/** What became of the spans, in a few words and without secrets. */
export interface SpanReport {
  /** Why spans were lost. Undefined if none were. */
  readonly lost: string | undefined;
  /** What the receiver says although it has taken them. */
  readonly remark: string | undefined;
}

/** Milliseconds that one request may take. */
const requestTime = 750;
/** Bytes of an answer that are read. */
const receiverAnswerLimit = 64 * 1024;
/** Characters of a receiver's message that are shown. */
const messageLength = 300;
/** When a request is repeated. The SDK waits 30 s for its own spans to be sent. */
const repetition: RetryPolicy = { timeout: 20_000, firstPause: 500, longestPause: 5000 };

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
  const ending = new AbortController();
  // A receiver may repeat a token without the scheme before it.
  const secrets = Object.values(headers).flatMap((value) => [value, value.replace(/^\S+ +/, "")]);
  const shown = (text: string) =>
    maskCredentials(text, secrets)
      .replaceAll(/[\p{C}\s]+/gu, " ")
      .trim()
      .slice(0, messageLength);
  let failure: string | undefined;
  let rejected = 0;
  let message: string | undefined;
  const post = async ({ body, encoding }: EncodedSpans): Promise<Outcome> => {
    const signal = AbortSignal.timeout(requestTime);
    const fixed = {
      "content-type": "application/x-protobuf",
      ...(encoding !== undefined && { "content-encoding": encoding }),
    };
    const exchange = { method: "POST", url: target, headers: { ...headers, ...fixed }, body } as const;
    try {
      const response = await connections.send(exchange, { signal, stall: requestTime });
      return await outcomeOf(response, target);
    } catch (thrown) {
      if (signal.aborted) return { fault: noAnswer };
      const isUnreachable = thrown instanceof AttemptFailure && thrown.fault === "unreachable";
      return { fault: reasonOf(thrown, target), ...(isUnreachable && { isRetryable: true }) };
    }
  };
  const sendNow = async (spans: EncodedSpans): Promise<void> => {
    const retries = startRetries(repetition);
    for (;;) {
      const outcome = await post(spans);
      const { fault, isRetryable, retryAfter } = outcome;
      rejected += outcome.rejected ?? 0;
      message ??= outcome.message;
      if (fault === undefined) return;
      const asked = retryAfter ?? 0;
      const isAgain = isRetryable && asked <= repetition.timeout && !ending.signal.aborted;
      const pause = isAgain ? retries.pause({ retryAfter }) : undefined;
      const begun = performance.now();
      if (pause !== undefined) await delay(pause, undefined, { signal: ending.signal }).catch(() => {});
      // A receiver that said when to come again isn't asked before that.
      if (pause === undefined || performance.now() - begun < asked) {
        failure ??= fault;
        return;
      }
    }
  };
  return {
    send: async (spans) => {
      const sent = sendNow(spans);
      pending.add(sent);
      await sent;
      pending.delete(sent);
    },
    hurry: () => ending.abort(),
    idle: async () => void (await Promise.all(pending)),
    report: () => {
      const said = message === undefined ? "" : shown(message);
      const refused = `it rejected ${rejected} ${rejected === 1 ? "span" : "spans"}${said === "" ? "" : `: ${said}`}`;
      const lost = [
        ...(failure === undefined ? [] : [shown(failure)]),
        ...(rejected === 0 ? [] : [refused]),
      ].join("; ");
      return {
        lost: lost === "" ? undefined : lost,
        remark: rejected === 0 && said !== "" ? said : undefined,
      };
    },
    [Symbol.dispose]: () => connections[Symbol.dispose](),
  };
}

/** What a request has led to. */
interface Outcome extends Verdict {
  /** Milliseconds that the receiver asked to wait. */
  readonly retryAfter?: number | undefined;
}

async function outcomeOf(response: IncomingMessage, target: URL): Promise<Outcome> {
  const { statusCode: status = 0, headers } = response;
  const leadsTo = headers.location === undefined ? null : URL.parse(headers.location, target.href);
  const body = await beginningOf(response);
  // Of a URL from elsewhere only the origin is shown.
  if (status >= 300 && status < 400 && leadsTo !== null)
    return {
      fault: `it answered ${status}, a redirect to ${leadsTo.origin}, which is not followed because the headers may be secret; make that the endpoint`,
    };
  return {
    ...readAnswer({ status, type: headers["content-type"], body }),
    retryAfter: retryAfterOf(headers["retry-after"], Date.now()),
  };
}

/** The beginning of an answer's body, as far as it comes: the status says more than a body that is cut off. */
async function beginningOf(response: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of response as AsyncIterable<Buffer>) {
      parts.push(part);
      size += part.length;
      if (size >= receiverAnswerLimit) break;
    }
  } catch {
    // What has arrived is enough.
  }
  return Buffer.concat(parts);
}

function reasonOf(thrown: unknown, { origin, pathname }: URL): string {
  const asked = `POST ${origin}${pathname}: `;
  const message = messageOf(thrown);
  if (message.includes("no answer within")) return noAnswer;
  const [line = ""] = (message.startsWith(asked) ? message.slice(asked.length) : message).split("\n");
  return line.slice(0, 200);
}
