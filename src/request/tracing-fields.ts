import * as z from "zod";
import type { TraceTarget } from "../host/trace.ts";
import { readAs, refuseUnusable } from "./read-json.ts";
import { nonEmpty, pem } from "./scalars.ts";
import { secret } from "./schema-parts.ts";
import { type ParseYaml, parseVariable } from "./task-yaml.ts";

const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
  error: "expected the name of an HTTP header",
});
const headerValue = nonEmpty.regex(/^[\x20-\x7e]*$/, {
  error: "expected printable ASCII characters on one line",
});

const tracing = z.strictObject({
  endpoint: secret(z.string())
    // It is shown, so it must not hold a password or a token.
    .regex(/^https?:\/\/[^\s@?#]+$/, { error: "expected a URL without user, password and query" })
    .describe("Base URL of a receiver of OTLP over HTTP: `https://otel.example:4318`."),
  protocol: z
    .string()
    .regex(/^http\/protobuf$/, {
      error:
        "expected http/protobuf, which receivers of OTLP take at their HTTP port (4318 by default); grpc and http/json are not supported",
    })
    .default("http/protobuf")
    .describe("`http/protobuf` is the only one."),
  headers: secret(z.record(headerName, headerValue))
    .default({})
    .describe("Headers of each request, such as a token. They are secret."),
  ca_certs: pem
    .optional()
    .describe(
      "PEM certificates to trust there besides the system's and the source's: text, or a list of texts.",
    ),
});

/** Field of `source`. */
export const tracingField = tracing
  .optional()
  .describe(
    "Sends a trace of each put and get, BuildKit's spans included: `{endpoint, protocol, headers, ca_certs}` (docs/tracing.md).",
  );

/** The task's variable for what a resource has in `source.tracing`. */
export const tracingVariable = "TRACING";

/**
 * Where spans are sent, if anywhere.
 * @param caCerts PEM text that the source trusts everywhere
 */
export function readTracing(given: z.output<typeof tracingField>, caCerts?: string): TraceTarget | undefined {
  if (given === undefined) return undefined;
  const base = given.endpoint.replace(/\/+$/, "");
  // Endpoints for traces alone are given with their path (OTLP exporter specification, "Endpoint URLs").
  const url = base.endsWith("/v1/traces") ? base : `${base}/v1/traces`;
  const trusted = [caCerts, given.ca_certs].filter((text) => text !== undefined);
  return { url, headers: given.headers, ...(trusted.length > 0 && { caCerts: trusted.join("\n") }) };
}

/**
 * Where a task sends spans: its variable `TRACING`, a map such as a resource's `source.tracing`, as YAML or JSON.
 * @throws UserError if the text isn't such a map
 */
export function readTaskTracing(text: string, parse: ParseYaml): TraceTarget | undefined {
  const example = "{endpoint: https://otel.example:4318}";
  const given = parseVariable(text, parse, { name: tracingVariable, example });
  if (given === undefined) return undefined;
  refuseUnusable(given, [tracingVariable]);
  return readTracing(readAs(tracing, given, tracingVariable));
}
