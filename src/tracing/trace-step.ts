import { AsyncLocalStorage } from "node:async_hooks";
import { type Context, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { AbortError, messageOf } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import { settlesBefore } from "../host/settles-before.ts";
import type { Environment, StepContext } from "../host/step-context.ts";
import type { Trace, TraceTarget } from "../host/trace.ts";
import { SendingExporter } from "./sending-exporter.ts";
import { openRelay, type SpanRelay } from "./span-relay.ts";
import { noAnswer, openSender, type SpanSender } from "./span-sender.ts";

/** Milliseconds between two requests with spans while the step works. */
const sentEvery = 1000;
/** Milliseconds that the step waits at its end for its last spans to be sent. */
const flushTime = 500;
/** The same if the receiver has answered before: it is only busy then. After an abort it isn't waited for. */
const busyFlushTime = 3_000;

/** Characters of an error's message that are noted with a span. */
const messageLimit = 1000;

const propagator = new W3CTraceContextPropagator();

/** See {@link inTrace} in tracing.ts. */
export async function traceStep<T>(
  target: TraceTarget,
  step: StepContext,
  { name, work }: { readonly name: string; readonly work: (step: StepContext) => Promise<T> },
): Promise<T> {
  using sender = openSender(target, step.env);
  const exporter = new SendingExporter(sender);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ "service.name": "oci-build-resource" }),
    spanProcessors: [new BatchSpanProcessor({ exporter, scheduledDelayMillis: sentEvery })],
  });
  using relay = await relayTo(sender, step);
  const inherited = propagator.extract(ROOT_CONTEXT, variablesAsHeaders(step.env), headerGetter);
  const secrets = Object.values(target.headers);
  const traceWork = createTrace(provider, { inherited, secrets });
  try {
    return await traceWork(name, async (span) => {
      const { variables } = span;
      span.note(buildFacts(step.env));
      step.log.line(traceLine(variables["TRACEPARENT"] ?? ""));
      return work({ ...step, env: { ...step.env, ...variables }, trace: traceWork, spansUrl: relay?.url });
    });
  } finally {
    sender.hurry();
    const sent = provider
      .shutdown()
      .catch(() => {})
      .then(() => sender.idle());
    const isBusy = sender.hasAnswered() && !step.signal.aborted;
    const isSent = await settlesWithin(sent, isBusy ? busyFlushTime : flushTime);
    const { lost, remark } = sender.report();
    const problem = lost ?? (isSent ? undefined : noAnswer);
    if (problem !== undefined) step.log.warn(`tracing: not all spans reached ${target.url}: ${problem}`);
    else if (remark !== undefined) step.log.line(`tracing: ${target.url} says: ${remark}`);
  }
}

/** Names the trace in the log. */
function traceLine(traceparent: string): string {
  const [, id = "", , flags = "0"] = traceparent.split("-");
  const isSampled = (Number.parseInt(flags, 16) & 1) === 1;
  return isSampled
    ? `tracing: trace ${id}`
    : `tracing: trace ${id} is not sampled, as TRACEPARENT says, so nothing is sent`;
}

/** A relay for BuildKit's spans. Only a container without a loopback address can have none; then they are lost. */
async function relayTo(sender: SpanSender, { log }: StepContext): Promise<SpanRelay | undefined> {
  try {
    return await openRelay(sender);
  } catch (thrown) {
    log.warn(`tracing: BuildKit's spans are not sent: ${messageOf(thrown)}`);
    return undefined;
  }
}

/** Unlike AbortSignal.timeout, the timer keeps the process alive. */
async function settlesWithin(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), milliseconds);
  return settlesBefore(promise, late.signal).finally(() => clearTimeout(timer));
}

function createTrace(
  provider: TracerProvider,
  { inherited, secrets }: { readonly inherited: Context; readonly secrets: readonly string[] },
): Trace {
  const tracer = provider.getTracer("oci-build-resource");
  const current = new AsyncLocalStorage<Context>();
  return async (name, work, facts) => {
    const above = current.getStore() ?? inherited;
    const span = tracer.startSpan(name, facts === undefined ? {} : { attributes: facts }, above);
    const context = trace.setSpan(above, span);
    try {
      return await current.run(context, () =>
        work({
          note: (more) => void span.setAttributes(more),
          part: (inner, { from, to }) =>
            tracer.startSpan(inner, { startTime: new Date(from) }, context).end(new Date(to)),
          fail: (reason) => markFailed(span, reason, secrets),
          variables: variablesOf(context),
        }),
      );
    } catch (thrown) {
      markFailed(span, thrown, secrets);
      throw thrown;
    } finally {
      span.end();
    }
  };
}

function markFailed(span: Span, thrown: unknown, secrets: readonly string[]): void {
  const message = maskCredentials(messageOf(thrown), secrets).slice(0, messageLimit);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  span.setAttribute("error.type", thrown instanceof AbortError ? "aborted" : "failed");
}

/** What Concourse says of the build, for finding its trace. */
function buildFacts(env: Environment): Record<string, string> {
  const names = {
    "concourse.team": "BUILD_TEAM_NAME",
    "concourse.pipeline": "BUILD_PIPELINE_NAME",
    "concourse.job": "BUILD_JOB_NAME",
    "concourse.build": "BUILD_NAME",
    "concourse.build_id": "BUILD_ID",
    "concourse.url": "ATC_EXTERNAL_URL",
  };
  return Object.fromEntries(
    Object.entries(names).flatMap(([fact, variable]) => {
      const value = env[variable];
      return value === undefined || value === "" ? [] : [[fact, value] as const];
    }),
  );
}

type Carrier = Record<string, string>;

/** A trace's context as variables, as Concourse and BuildKit have them (W3C Trace Context, in upper case). */
function variablesOf(context: Context): Environment {
  const headers: Carrier = {};
  propagator.inject(context, headers, {
    set: (carrier, name, value) => {
      carrier[name] = value;
    },
  });
  return { TRACEPARENT: headers["traceparent"], TRACESTATE: headers["tracestate"] };
}

function variablesAsHeaders({ TRACEPARENT, TRACESTATE }: Environment): Carrier {
  return {
    ...(TRACEPARENT !== undefined && { traceparent: TRACEPARENT }),
    ...(TRACESTATE !== undefined && { tracestate: TRACESTATE }),
  };
}

const headerGetter = {
  keys: (carrier: Carrier) => Object.keys(carrier),
  get: (carrier: Carrier, name: string) => carrier[name],
};
