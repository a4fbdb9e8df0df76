import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { orNone } from "../host/or-none.ts";

/** What a receiver has answered to a request with spans. */
export interface ReceiverAnswer {
  readonly status: number;
  /** The header `Content-Type`. */
  readonly type: string | undefined;
  readonly body: Uint8Array;
}

/** What an answer says about the spans of its request. */
export interface Verdict {
  /** Why all of them are lost, in a few words. Undefined if the receiver has taken the request. */
  readonly fault?: string;
  /** Whether the receiver asks for the same request again, later. */
  readonly isRetryable?: true;
  /** Number of spans that it has rejected. */
  readonly rejected?: number;
  /** What it says about them, or to whoever sends it spans; unchanged, so it may hold anything. */
  readonly message?: string;
}

/** Statuses whose request is to be repeated (OTLP specification, "Retryable Response Codes"). */
const retryable: readonly number[] = [429, 502, 503, 504];

/** What to look at, by status. */
const statusAdvice: Readonly<Record<number, string>> = {
  401: "; check the headers",
  403: "; check the headers",
  404: "; check the endpoint's path",
  405: "; check the endpoint's path",
};

/** Reads a receiver's answer (OTLP specification, "OTLP/HTTP Response"). Pure. */
export function readAnswer({ status, type = "", body }: ReceiverAnswer): Verdict {
  if (status < 200 || status >= 300) {
    const fault = `it answered ${status}${statusAdvice[status] ?? ""}`;
    return { fault, ...(retryable.includes(status) && { isRetryable: true }) };
  }
  const [form = ""] = type.toLowerCase().split(/[;\s]/, 1);
  // A proxy's login page, or another service. Only these types can't be a receiver's that leaves out its own.
  if (/html|xml/.test(form))
    return { fault: `it answered ${status} with ${form}, as no receiver of OTLP does; check the endpoint` };
  const { rejectedSpans, errorMessage = "" } = partialSuccess(form, body) ?? {};
  const rejected = Number(rejectedSpans ?? 0);
  return { ...(rejected > 0 && { rejected }), ...(errorMessage !== "" && { message: errorMessage }) };
}

interface PartialSuccess {
  /** A text in JSON, where a number has no 64 bits. */
  readonly rejectedSpans?: number | string;
  readonly errorMessage?: string;
}

/** What an answer says of spans that were rejected. Undefined if it says nothing, or if it can't be read. */
function partialSuccess(form: string, body: Uint8Array): PartialSuccess | undefined {
  return orNone(() => {
    if (form !== "application/json") return ProtobufTraceSerializer.deserializeResponse(body).partialSuccess;
    const { partialSuccess: found } = JSON.parse(Buffer.from(body).toString());
    return {
      rejectedSpans: Number(found?.rejectedSpans ?? 0),
      errorMessage: String(found?.errorMessage ?? ""),
    };
  });
}
