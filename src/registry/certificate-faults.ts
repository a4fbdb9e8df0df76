import type { AuthorNames } from "../host/author-names.ts";

/** Why a client doesn't accept a server's certificate. Each fault has a different remedy. */
export type CertificateFault =
  | "untrusted certificate"
  | "certificate for another name"
  | "expired certificate"
  | "certificate not yet valid";

/**
 * The codes and messages that identify each fault: those of Node and OpenSSL, then those of Go's crypto/x509, which
 * BuildKit uses.
 */
const signs: readonly (readonly [CertificateFault, RegExp])[] = [
  [
    "certificate for another name",
    /ERR_TLS_CERT_ALTNAME|does not match certificate's altnames|x509: certificate is (?:valid for|not valid for any names)|x509: cannot validate certificate for|x509: certificate relies on legacy Common Name/,
  ],
  // For both faults Go writes "has expired or is not yet valid", and then which of the two.
  ["certificate not yet valid", /CERT_NOT_YET_VALID|is not yet valid: current time \S+ is before/],
  ["expired certificate", /CERT_HAS_EXPIRED|certificate has expired/],
  [
    "untrusted certificate",
    /SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)|self[- ]signed certificate|unable to (?:get (?:local )?issuer certificate|verify the first certificate)|x509: certificate signed by unknown authority/,
  ],
];

/**
 * The fault that a program's error describes, or undefined if the error isn't about a certificate. Pure.
 * @param said an error's code and message
 */
export function certificateFaultIn(said: string): CertificateFault | undefined {
  return signs.find(([, sign]) => sign.test(said))?.[0];
}

/** What to change, for the end of a message that has already named the host. */
export const certificateAdvice = (names: AuthorNames): Readonly<Record<CertificateFault, string>> => ({
  // A task has no field for all registries.
  "untrusted certificate": `its certificate is not trusted: give its CA as ${
    names.kind === "put"
      ? '"ca_certs" in the source, for every registry or for its host under "registries"'
      : `"ca_certs" of its host ${names.registries}`
  }`,
  "certificate for another name":
    "its certificate is for another name, which no CA changes: reach it by a name that the certificate has, or have one issued for this name",
  "expired certificate":
    "its certificate has expired: whoever runs that host has to renew it (if it was renewed, this worker's clock is wrong)",
  "certificate not yet valid":
    "its certificate isn't valid yet: this worker's clock is wrong, or the certificate was issued too early",
});
