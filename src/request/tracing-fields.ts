import * as z from "zod";
import { orNone } from "../host/or-none.ts";
import type { TraceTarget } from "../host/trace.ts";
import { adviseWithin } from "./foreign-names.ts";
import { placesBelow, readAs, refuseUnusable } from "./read-json.ts";
import { nonEmpty, pem } from "./scalars.ts";
import { secret } from "./schema-parts.ts";
import { type ParseYaml, parseVariable } from "./task-yaml.ts";

const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, {
  error: "expected the name of an HTTP header",
});
const headerValue = nonEmpty.regex(/^[\x20-\x7e]*$/, {
  error: "expected printable ASCII characters on one line",
});

/**
 * Headers that a request itself has: they say what it holds, or how it is sent (RFC 9110 7.2, 7.6.1, 8.3, 8.4, 8.6).
 */
const ownHeaders = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** What is wrong with the names of headers, one by one. */
function headerFaults(names: readonly string[]): string[] {
  return names.flatMap((name, index) => {
    const plain = name.toLowerCase();
    const twin = names.slice(0, index).find((other) => other.toLowerCase() === plain);
    return [
      ...(ownHeaders.has(plain)
        ? [`${name} can't be set, as it belongs to the request itself: remove it`]
        : []),
      ...(twin === undefined
        ? []
        : [`${JSON.stringify(twin)} and ${JSON.stringify(name)} are the same header; keep one`]),
    ];
  });
}

/** What is wrong with an endpoint. It is shown, so it must not hold a password or a token. */
function endpointFault(given: string): string {
  if (!/^https?:\/\//.test(given))
    return "expected a URL that begins with http:// or https://, such as https://otel.example:4318";
  if (given.includes("@"))
    return "expected a URL without user and password, because it is shown in the log; put them into headers: {authorization: Basic …}";
  if (/[?#]/.test(given))
    return "expected a URL without ? and #, because it is shown in the log; put a token into headers";
  return "expected a URL with a host and, if it has one, a port from 1 to 65535, such as https://otel.example:4318";
}

const headerWords = {
  error:
    "expected a map of headers, {x-token: …}, or a text as OTEL_EXPORTER_OTLP_HEADERS has it: x-token=…,x-team=web",
};
/** Headers as the variable OTEL_EXPORTER_OTLP_HEADERS has them: `name=value,name2=value2`. */
const headerList = z.string().regex(/^\s*[^\s,=]+\s*=[^,]*(,\s*([^\s,=]+\s*=[^,]*)?)*$/, headerWords);

/**
 * Reads the text of headers. A value may have characters as `%20` and `%2C` (OTLP exporter specification, "Specifying
 * headers via environment variables").
 */
function readHeaderList(text: string): [name: string, value: string][] {
  return text
    .split(",")
    .filter((part) => part.trim() !== "")
    .map((part) => {
      const equals = part.indexOf("=");
      return [part.slice(0, equals).trim(), percentDecoded(part.slice(equals + 1).trim())];
    });
}

/** The value, as it is if it isn't encoded: a token may contain a `%`. */
function percentDecoded(value: string): string {
  return orNone(() => decodeURIComponent(value)) ?? value;
}

const headers = z
  .union([z.record(headerName, headerValue), headerList], headerWords)
  .transform((given, context): Readonly<Record<string, string>> => {
    const pairs = typeof given === "string" ? readHeaderList(given) : Object.entries(given);
    const faults = [
      ...(typeof given === "string" ? pairs.flatMap(pairFaults) : []),
      ...headerFaults(pairs.map(([name]) => name)),
    ];
    for (const message of faults) context.issues.push({ code: "custom", input: given, message });
    return Object.fromEntries(pairs);
  });

/** What is wrong with a header that a text gives. It isn't shown: a token without a name may stand in its place. */
function pairFaults([name, value]: readonly [string, string], index: number): string[] {
  const place = `header ${index + 1} of the text`;
  return [
    ...(headerName.safeParse(name).success
      ? []
      : [`${place}: expected the name of an HTTP header before its =`]),
    ...(headerValue.safeParse(value).success
      ? []
      : [`${place}: expected printable ASCII characters on one line after its =`]),
  ];
}

const tracing = z.strictObject({
  endpoint: secret(z.string())
    .regex(/^https?:\/\/[^\s@?#/]+(\/[^\s@?#]*)?$/, { error: ({ input }) => endpointFault(String(input)) })
    .refine((given) => !/^https?:\/\/[^\s@?#/]/.test(given) || URL.canParse(given), {
      error: ({ input }) => endpointFault(String(input)),
    })
    .describe("Base URL of a receiver of OTLP over HTTP: `https://otel.example:4318`."),
  protocol: z
    .string()
    .regex(/^http\/protobuf$/, {
      error:
        "expected http/protobuf, which receivers of OTLP take at their HTTP port (4318 by default); grpc and http/json are not supported",
    })
    .default("http/protobuf")
    .describe("`http/protobuf` is the only one."),
  headers: secret(headers)
    .default({})
    .describe(
      "Headers of each request, such as a token: a map, or a text such as `x-token=…,x-team=web`. They are secret.",
    ),
  ca_certs: secret(pem)
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

const adviseOnTracing = adviseWithin("source", "tracing");

/**
 * Where a task sends spans: its variable `TRACING`, a map such as a resource's `source.tracing`, as YAML or JSON.
 * @throws UserError if the text isn't such a map
 */
export function readTaskTracing(text: string, parse: ParseYaml): TraceTarget | undefined {
  const example = "{endpoint: https://otel.example:4318}";
  const given = parseVariable(text, parse, { name: tracingVariable, example });
  if (given === undefined) return undefined;
  refuseUnusable(given, placesBelow(tracingVariable));
  return readTracing(readAs(tracing, given, tracingVariable, { advise: adviseOnTracing }));
}
