import type { Environment } from "../host/step-context.ts";
import type { TraceTarget } from "../host/trace.ts";
import type { RegistryFiles } from "../registry/registry-files.ts";
import type { LayerCache } from "./plan/layer-cache.ts";

/**
 * Milliseconds that BuildKit spends on sending spans. A step must not end more than a second later because of a
 * receiver that doesn't answer.
 */
const sendTime = 200;

/** How BuildKit's programs send spans (OpenTelemetry, "Environment variable specification"). */
const sending = { OTEL_BSP_EXPORT_TIMEOUT: String(sendTime), OTEL_BSP_SCHEDULE_DELAY: String(sendTime) };

/**
 * The environment by which a program of BuildKit's sends its spans (OpenTelemetry, "OTLP exporter"). It replaces what
 * the operator has set.
 */
function exporterEnvironment({ url, headers }: TraceTarget): Environment {
  return {
    ...sending,
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_METRICS_EXPORTER: "none",
    OTEL_EXPORTER_OTLP_ENDPOINT: undefined,
    OTEL_EXPORTER_OTLP_HEADERS: undefined,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "http/protobuf",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: Object.entries(headers)
      .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
      .join(","),
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: String(sendTime),
  };
}

/** How buildctl sends its spans: by itself, or through the step's own daemon, which has a target. */
export type ClientTracing = TraceTarget | "daemon";

function clientEnvironment(tracing: ClientTracing | undefined): Environment {
  if (tracing === undefined) return {};
  return tracing === "daemon" ? { ...sending, OTEL_TRACES_EXPORTER: "none" } : exporterEnvironment(tracing);
}

/**
 * The environment of `buildctl build`: the step's own variables, those that name the files with registry
 * credentials, and the credentials of a layer cache.
 * @param tracing undefined if nothing is traced
 */
export function buildctlEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  cache: Pick<LayerCache, "buildctlEnv">,
  tracing: ClientTracing | undefined,
): Environment {
  return { ...step.env, ...registries.env, ...cache.buildctlEnv, ...clientEnvironment(tracing) };
}

/**
 * The environment of a buildkitd that the step starts. Every runc and git that it starts inherits these variables.
 * @param cacheEnv variables by which it finds the credentials of a layer cache
 * @param spans where it sends its spans, and those of its buildctl
 * @param workspace the folder for its temporary files, such as sockets of ssh agents, which it doesn't remove
 */
export function daemonEnvironment(
  step: { readonly env: Environment },
  registries: Pick<RegistryFiles, "env">,
  {
    cacheEnv,
    workspace,
    spans,
  }: {
    readonly cacheEnv: Environment;
    readonly workspace: string;
    readonly spans: TraceTarget | undefined;
  },
): Environment {
  const tracing = spans === undefined ? {} : exporterEnvironment(spans);
  return { ...step.env, ...registries.env, ...cacheEnv, ...unlimitedLogs, ...tracing, TMPDIR: workspace };
}

/** By default BuildKit cuts a step's log after 2 MiB, which would lose the error at its end. */
const unlimitedLogs = { BUILDKIT_STEP_LOG_MAX_SIZE: "-1", BUILDKIT_STEP_LOG_MAX_SPEED: "-1" };
