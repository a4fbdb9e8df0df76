import type { HostAccess } from "../registry/access.ts";
import { checkCertificates } from "../registry/check-certificates.ts";
import { type PlacedMessage, placed, type Rule, thrownBy } from "../request/rules.ts";
import type { Source } from "../request/source.ts";

/** The names of these fields in a source, for the whole source and for each host of its `registries`. */
const names = { ca: "ca_certs", cert: "client_cert", key: "client_key" } as const;

/** What a source must keep so that registries can be reached. */
export const accessRules: readonly Rule<Source>[] = [
  {
    of: ["ca_certs"],
    faults: thrownBy(({ registryAccess: { caCerts } }) => {
      checkCertificates({ ca: caCerts }, "source", names);
    }),
  },
  {
    of: ["registries", "ca_certs", "repository"],
    faults: ({ registryAccess: { hosts, caCerts } }) =>
      certificateFaults(hosts, "source.registries", caCerts),
  },
];

/**
 * What is wrong with the certificates of a map of registries, each placed at its host.
 * @param common certificates of all hosts, which are checked by themselves
 */
export function certificateFaults(
  hosts: ReadonlyMap<string, HostAccess>,
  subject: string,
  common?: string,
): readonly PlacedMessage[] {
  return placed("registries", hosts, ({ caCerts, clientCert: cert, clientKey: key }, host) =>
    checkCertificates(
      { ca: caCerts === common ? undefined : caCerts, cert, key },
      `${subject}.${String(host)}`,
      names,
    ),
  );
}
