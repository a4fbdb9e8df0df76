import { UserError } from "../../host/errors.ts";

/** Why a registry didn't do what was asked, as far as regctl's words tell. */
export type RegistryFault =
  | "not found"
  | "unauthorized"
  | "forbidden"
  | "tls"
  | "plain http"
  | "unreachable"
  | "other";

/** A registry's refusal, in words for the pipeline's author. */
export class RegistryError extends UserError {
  readonly fault: RegistryFault;

  constructor(message: string, fault: RegistryFault) {
    super(message);
    this.fault = fault;
  }
}

const signs: readonly (readonly [RegistryFault, RegExp])[] = [
  ["not found", /\[http 404\]/i],
  ["unauthorized", /\[http 401\]|unauthorized|authentication required/i],
  ["forbidden", /\[http 403\]|forbidden|denied/i],
  ["plain http", /server gave HTTP response to HTTPS client/i],
  ["tls", /x509|tls:|certificate/i],
  [
    "unreachable",
    /connection refused|no such host|timeout|timed out|unreachable|no route|EOF|reset by peer/i,
  ],
];

const advice: Readonly<Record<RegistryFault, string>> = {
  "not found": "check the name in source.repository",
  unauthorized: "check username and password in the source (or docker_config)",
  forbidden: "this user may not do that: it needs the rights to pull and push there",
  "plain http": 'the registry speaks plain http: set "insecure: true" in the source',
  tls: 'its certificate is not trusted: give its CA as "ca_certs" in the source',
  unreachable: "check the host in source.repository, and that this worker can reach it",
  other: "the registry's own log may say more",
};

/** Puts regctl's stderr into a message. */
export function registryError(where: string, stderr: string): RegistryError {
  const said = stderr
    .split("\n")
    .filter((line) => !line.startsWith("Try updating your registry"))
    .join(" ")
    .trim();
  const fault = signs.find(([, sign]) => sign.test(said))?.[0] ?? "other";
  return new RegistryError(`${where}: ${said || "regctl failed without a word"}; ${advice[fault]}`, fault);
}
