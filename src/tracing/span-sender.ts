import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "../host/errors.ts";
import type { Environment } from "../host/step-context.ts";
import type { TraceTarget } from "../host/trace.ts";
import { type Connections, openConnections } from "../registry/connection.ts";
import { AttemptFailure } from "../registry/registry-error.ts";
import { type RetryPolicy, retryAfterOf, startRetries } from "../registry/retry-policy.ts";
import { readAnswer, type Verdict } from "./receiver-answer.ts";
import { SpanFindings, type SpanReport } from "./span-report.ts";

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
  /** Whether the receiver has answered a request. */
  hasAnswered(): boolean;
  report(): SpanReport;
}

/**
 * Milliseconds that one request may take, before the receiver has answered any and after that: then only it or this
 * machine is busy.
 */
const requestTime = { first: 750, later: 5_000 } as const;
/** Bytes of an answer that are read. */
const receiverAnswerLimit = 64 * 1024;
/** When a request is repeated. The SDK waits 30 s for its own spans to be sent. */
const repetition: RetryPolicy = { timeout: 20_000, firstPause: 500, longestPause: 5000 };

/** The reason if a receiver doesn't answer. */
export const noAnswer = "no answer in time";

/**
 * Opens the only way to the receiver, for the step's spans and for BuildKit's. It uses the proxy of the environment
 * and the system's CA certificates, and follows no redirect: another host must not get the headers.
 */
export function openSender(target: TraceTarget, env: Environment): SpanSender {
  return new Sender(target, env);
}

class Sender implements SpanSender {
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #connections: Connections;
  readonly #findings: SpanFindings;
  readonly #pending = new Set<Promise<void>>();
  readonly #ending = new AbortController();
  #hasAnswered = false;

  constructor({ url, headers, caCerts }: TraceTarget, env: Environment) {
    this.#url = new URL(url);
    this.#headers = headers;
    const access = { hosts: new Map(), ...(caCerts !== undefined && { caCerts }) };
    this.#connections = openConnections(access, this.#url.host, env);
    this.#findings = new SpanFindings(headers);
  }

  async send(spans: EncodedSpans): Promise<void> {
    const sent = this.#sendRepeatedly(spans);
    this.#pending.add(sent);
    await sent;
    this.#pending.delete(sent);
  }

  hurry(): void {
    this.#ending.abort();
  }

  async idle(): Promise<void> {
    await Promise.all(this.#pending);
  }

  hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  report(): SpanReport {
    return this.#findings.report();
  }

  [Symbol.dispose](): void {
    this.#connections[Symbol.dispose]();
  }

  async #sendRepeatedly(spans: EncodedSpans): Promise<void> {
    const retries = startRetries(repetition);
    for (;;) {
      const { fault, isRetryable, retryAfter = 0, ...words } = await this.#post(spans);
      this.#findings.heard(words);
      if (fault === undefined) return;
      const isAgain = isRetryable && retryAfter <= repetition.timeout && !this.#ending.signal.aborted;
      const pause = isAgain ? retries.pause({ retryAfter }) : undefined;
      if (pause === undefined || (await this.#waited(pause)) < retryAfter) {
        this.#findings.lost(fault);
        return;
      }
    }
  }

  /**
   * Waits for so many milliseconds, or until the step is in a hurry. Returns how many it were: a receiver that said
   * when to come again isn't asked before that.
   */
  async #waited(pause: number): Promise<number> {
    const begun = performance.now();
    return await delay(pause, undefined, { signal: this.#ending.signal }).then(
      // A timer may end a part of a millisecond early.
      () => pause,
      () => performance.now() - begun,
    );
  }

  async #post({ body, encoding }: EncodedSpans): Promise<Outcome> {
    const time = this.#hasAnswered ? requestTime.later : requestTime.first;
    const signal = AbortSignal.timeout(time);
    const headers = {
      ...this.#headers,
      "content-type": "application/x-protobuf",
      ...(encoding !== undefined && { "content-encoding": encoding }),
    };
    try {
      const exchange = { method: "POST", url: this.#url, headers, body } as const;
      // The signal ends the request before it has stalled for so long.
      const response = await this.#connections.send(exchange, { signal, stall: 2 * time });
      const outcome = await outcomeOf(response, this.#url);
      this.#hasAnswered = true;
      return outcome;
    } catch (thrown) {
      if (signal.aborted) return { fault: noAnswer };
      const isUnreachable = thrown instanceof AttemptFailure && thrown.fault === "unreachable";
      return { fault: reasonOf(thrown, this.#url), ...(isUnreachable && { isRetryable: true }) };
    }
  }
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
  const [line = ""] = (message.startsWith(asked) ? message.slice(asked.length) : message).split("\n");
  return line.slice(0, 200);
}
