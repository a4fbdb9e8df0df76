import { namesOfPut } from "../host/author-names.ts";
import { errorCode, messageOf, UserError } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import { type CertificateFault, certificateAdvice, certificateFaultIn } from "./certificate-faults.ts";
import type { RepositoryPlace } from "./repository-place.ts";
import { isRetryableStatus } from "./retry-policy.ts";

/** Why a request to a registry failed. */
export type RegistryFault =
  | "not found"
  | "unauthorized"
  | "forbidden"
  | "read-only"
  | "tls"
  | CertificateFault
  | "client certificate"
  | "plain http"
  | "unreachable"
  | "proxy"
  | "busy"
  | "cut"
  | "other";

/** A failed request to a registry, in words for the pipeline's author. */
export class RegistryError extends UserError {
  readonly fault: RegistryFault;

  constructor(message: string, fault: RegistryFault, options?: ErrorOptions) {
    super(message, options);
    this.fault = fault;
  }
}

/** A failed attempt, and whether another attempt may succeed. */
export class AttemptFailure extends Error {
  readonly fault: RegistryFault;
  readonly retryable: boolean;
  /** The host that failed, if it isn't the registry's but one that the registry sent the client to. */
  readonly elsewhere: string | undefined;
  /** Milliseconds that the registry asked to wait. */
  readonly retryAfter: number | undefined;
  readonly #status: number | undefined;

  constructor(
    what: string,
    fault: RegistryFault,
    {
      retryable = false,
      retryAfter,
      status,
      elsewhere,
      cause,
    }: {
      retryable?: boolean;
      retryAfter?: number | undefined;
      status?: number;
      elsewhere?: string | undefined;
      cause?: unknown;
    } = {},
  ) {
    super(maskCredentials(what), { cause });
    this.fault = fault;
    this.retryable = retryable;
    this.elsewhere = elsewhere;
    this.retryAfter = retryAfter;
    this.#status = status;
  }

  /**
   * Whether the registry may still be executing the request: the connection was cut, or a proxy between gave up
   * waiting (RFC 9110 15.5.9, 15.6.3 and 15.6.5). A registry that answers 429, 500 or 503 has stopped.
   */
  get mayStillRun(): boolean {
    return this.retryable && ![429, 500, 503].includes(this.#status ?? 0);
  }

  /** The error for the pipeline's author, with advice on what to do. */
  toError(place: RepositoryPlace, tried = ""): RegistryError {
    const advice = this.elsewhere === undefined ? faultAdvice[this.fault] : elsewhereAdvice[this.fault];
    const words = (advice ?? faultAdvice[this.fault])(place, this.elsewhere ?? "");
    return new RegistryError(`${place.name}: ${this.message}; ${words}${tried}`, this.fault, {
      cause: this.cause ?? this,
    });
  }
}

/** What to change, by the author's own fields. The host is the one that failed, if that isn't the registry's. */
type Advice = (place: RepositoryPlace, host: string) => string;

const faultAdvice: Readonly<Record<RegistryFault, Advice>> = {
  "not found": ({ field }) => `check the name in ${field}`,
  unauthorized: ({ login }) => `check ${login}`,
  forbidden: () =>
    "this user may not do that: it needs the rights to pull and push there, and room in its quota",
  "read-only": ({ field }) =>
    `the registry takes no pushes there, as a pull-through cache or one that is read-only: name another in ${field}`,
  "plain http": ({ fields }) => `the registry uses plain http: set "insecure: true" ${fields}`,
  ...certificateFaultAdvice(),
  tls: () => "no TLS connection can be made: check its certificate and its TLS versions",
  "client certificate": () =>
    "it requires a client certificate that it knows: give client_cert and client_key for its host under registries in the source",
  unreachable: ({ field }) => `check the host in ${field}, and that this worker can reach it`,
  proxy: () =>
    "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment of the worker's steps, and the proxy itself",
  busy: () => "run the step again later",
  cut: () => "check the network between this worker and the registry, and any proxy there",
  other: () => "the registry's own log may say more",
};

/** The same for a host that the registry sends its clients to: a token server, or a store of blobs. */
const elsewhereAdvice: Readonly<Partial<Record<RegistryFault, Advice>>> = {
  "plain http": (_, host) =>
    `the registry sends its clients to https://${host}, which uses plain http: correct that in the registry's configuration`,
  unauthorized: (_, host) => refusedElsewhere(host),
  forbidden: (_, host) => refusedElsewhere(host),
  unreachable: (_, host) =>
    `the registry sends its clients to ${host}: check that this worker can reach it, and the registry's configuration`,
};

/** Links to a store are signed by the registry, for a time. */
function refusedElsewhere(host: string): string {
  return `the registry sends its clients to ${host}, which refuses the registry's link: check the registry's storage, and the clocks there`;
}

function certificateFaultAdvice(): Record<CertificateFault, Advice> {
  // Tasks reach registries by BuildKit alone.
  const advice = Object.entries(certificateAdvice(namesOfPut)).map(([fault, words]) => [fault, () => words]);
  return Object.fromEntries(advice) as Record<CertificateFault, Advice>;
}

interface Answered {
  readonly asked: string;
  /** The registry's message; empty if it sent none. */
  readonly said: string;
  readonly retryAfter?: number | undefined;
  /** The host that answered, if it isn't the registry's. */
  readonly elsewhere?: string | undefined;
  /** The origin that a redirect leads to, if it is one. */
  readonly redirectTo?: string | undefined;
}

/** The failure for an unexpected status. */
export function statusFailure(
  status: number,
  { asked, said, retryAfter, elsewhere, redirectTo }: Answered,
): AttemptFailure {
  const redirect = redirectTo === undefined ? "" : `, a redirect to ${redirectTo}`;
  const what = `${asked} was answered with ${status}${redirect}${said === "" ? "" : ` (${said})`}`;
  if (status === 401) return new AttemptFailure(what, "unauthorized", { elsewhere });
  if (status === 403) return new AttemptFailure(what, "forbidden", { elsewhere });
  if (status === 404) return new AttemptFailure(what, "not found");
  if (status === 405 && /^(POST|PUT) /.test(asked)) return new AttemptFailure(what, "read-only");
  if (status === 407) return new AttemptFailure(what, "proxy");
  if (isRetryableStatus(status))
    return new AttemptFailure(what, "busy", { retryable: true, retryAfter, status });
  return new AttemptFailure(what, "other");
}

const networkFaults: Readonly<Record<string, readonly [RegistryFault, string]>> = {
  ECONNREFUSED: ["unreachable", "connection refused"],
  ENOTFOUND: ["unreachable", "there is no host of that name"],
  EAI_AGAIN: ["unreachable", "its name can't be looked up now"],
  EHOSTUNREACH: ["unreachable", "no route to it"],
  ENETUNREACH: ["unreachable", "no route to it"],
  ETIMEDOUT: ["unreachable", "no answer"],
  ECONNRESET: ["cut", "the connection was cut"],
  EPIPE: ["cut", "the connection was cut"],
  ERR_STREAM_PREMATURE_CLOSE: ["cut", "the connection was cut"],
};

/**
 * The failure for an error of Node's http and tls modules.
 * @param elsewhere the host, if it isn't the registry's
 */
export function networkFailure(thrown: unknown, asked: string, elsewhere?: string): AttemptFailure {
  if (thrown instanceof AttemptFailure) return thrown;
  const code = errorCode(thrown) ?? "";
  const [fault, words] = networkFaults[code] ?? [];
  if (fault !== undefined) {
    return new AttemptFailure(`${asked}: ${words}`, fault, { retryable: true, cause: thrown, elsewhere });
  }
  const message = messageOf(thrown);
  if (/wrong version number|packet length too long|ERR_SSL_WRONG_VERSION/i.test(`${code} ${message}`)) {
    return new AttemptFailure(`${asked}: it doesn't use TLS`, "plain http", { cause: thrown, elsewhere });
  }
  // RFC 8446 6.2: alerts by which a server rejects the client's certificate.
  const alert =
    /alert (bad|unsupported|revoked|expired|unknown) ?certificate|alert certificate (required|revoked|expired|unknown)/i;
  if (alert.test(message) || code === "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED")
    return new AttemptFailure(
      `${asked}: the registry refuses this client's certificate, or requires one`,
      "client certificate",
      { cause: thrown, elsewhere },
    );
  if (/CERT|TLS|SSL|EPROTO|^UNABLE_TO_/.test(code)) {
    // Node's hint names an option of its own command line, which is no help here.
    const said = message.replace(/; if the root CA .*$/s, "");
    const kind = certificateFaultIn(`${code} ${message}`) ?? "tls";
    return new AttemptFailure(`${asked}: ${said}`, kind, { cause: thrown, elsewhere });
  }
  if (code.startsWith("HPE_"))
    return new AttemptFailure(`${asked}: the answer is not HTTP (${code})`, "other", {
      cause: thrown,
      elsewhere,
    });
  return new AttemptFailure(`${asked}: ${message}`, "other", { cause: thrown, elsewhere });
}

/**
 * The failure if a proxy can't be reached, or opens no connection to the host (RFC 9110 9.3.6). Undefined for
 * another error.
 * @param proxy its origin
 */
export function proxyFailure(thrown: unknown, asked: string, proxy: string): AttemptFailure | undefined {
  const failure = (words: string, retryable: boolean) =>
    new AttemptFailure(`${asked}: the proxy ${proxy} ${words}`, "proxy", { retryable, cause: thrown });
  const code = errorCode(thrown) ?? "";
  if (code === "ERR_PROXY_TUNNEL") {
    const [, status] = /: HTTP\/\d\.\d (\d{3})\b/.exec(messageOf(thrown)) ?? [];
    if (status === undefined) return failure("doesn't answer as a proxy does", false);
    return failure(
      `opens no connection to the host: it answers ${status}`,
      isRetryableStatus(Number(status)),
    );
  }
  const [fault, words] = networkFaults[code] ?? [];
  return fault === "unreachable" ? failure(`can't be used: ${words}`, true) : undefined;
}
