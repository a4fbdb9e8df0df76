import type { Environment, StepContext } from "../host/step-context.ts";
import type { RegistryFiles } from "../registry/registry-files.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/** Milliseconds between two requests with spans. */
const sendEvery = 200;
/**
 * Milliseconds that one may take. It ends in this step, which answers at once, but on a busy machine that takes a
 * while too.
 */
const sendTime = 5_000;

/**
 * The variables by which BuildKit's programs find out where to send spans, and which (OpenTelemetry, "Environment
 * variable specification"; BuildKit, util/tracing/detect). Those of the step's own surroundings could drop spans or
 * send them elsewhere.
 */
const ofTracing = /^(OTEL|JAEGER)_/;

/**
 * The environment by which a program of BuildKit's sends its spans.
 * @param to a URL that takes OTLP over HTTP, or nobody
 */
function tracingEnvironment(env: Environment, to: string | undefined): Environment {
  const foreign = Object.keys(env).filter((name) => ofTracing.test(name));
  return {
    ...Object.fromEntries(foreign.map((name) => [name, undefined])),
    OTEL_BSP_EXPORT_TIMEOUT: String(sendTime),
    OTEL_BSP_SCHEDULE_DELAY: String(sendEvery),
    OTEL_METRICS_EXPORTER: "none",
    ...(to === undefined
      ? { OTEL_TRACES_EXPORTER: "none" }
      : {
          OTEL_TRACES_EXPORTER: "otlp",
          OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: to,
          OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
          OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: String(sendTime),
        }),
  };
}

/** Who sends buildctl's spans: it does, or the step's own daemon, to which it gives them. */
export type SpanSource = "buildctl" | "daemon";

/** What a builder knows that its buildctl needs. */
export interface BuildctlNeeds {
  readonly registries: Pick<RegistryFiles, "env">;
  readonly cache: Pick<LayerCache, "buildctlEnv">;
  readonly spanSource: SpanSource;
}

/**
 * The environment of `buildctl build`: the step's own variables, those that name the files with registry
 * credentials, and the credentials of a layer cache.
 */
export function buildctlEnvironment(
  step: Pick<StepContext, "env" | "spansUrl">,
  { registries, cache, spanSource }: BuildctlNeeds,
): Environment {
  const { env, spansUrl } = step;
  const tracing =
    spansUrl === undefined ? {} : tracingEnvironment(env, spanSource === "buildctl" ? spansUrl : undefined);
  return { ...env, ...registries.env, ...cache.buildctlEnv, ...tracing };
}

/**
 * The environment of a buildkitd that the step starts. Every runc and git that it starts inherits these variables.
 * @param cacheEnv variables by which it finds the credentials of a layer cache
 * @param workspace the folder for its temporary files, such as sockets of ssh agents, which it doesn't remove
 */
export function daemonEnvironment(
  step: Pick<StepContext, "env" | "spansUrl">,
  registries: Pick<RegistryFiles, "env">,
  { cacheEnv, workspace }: { readonly cacheEnv: Environment; readonly workspace: string },
): Environment {
  const { env, spansUrl } = step;
  const tracing = spansUrl === undefined ? {} : tracingEnvironment(env, spansUrl);
  return { ...env, ...registries.env, ...cacheEnv, ...unlimitedLogs, ...tracing, TMPDIR: workspace };
}

/** By default BuildKit cuts a step's log after 2 MiB, which would lose the error at its end. */
const unlimitedLogs = { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" };
