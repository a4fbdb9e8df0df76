import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { messageOf, UserError } from "../host/errors.ts";
import { orNone } from "../host/or-none.ts";

/** PEM texts as a source gives them. */
export interface GivenCertificates {
  /** Certificates of authorities. */
  readonly ca?: string | undefined;
  /** The client's own certificate, and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * Checks certificates and keys before they are used. TLS libraries silently skip those that they can't parse, and then
 * fail for lack of them.
 * @param subject the place in the request that has these fields
 * @param names the fields' names there
 * @throws UserError naming the field
 */
export function checkCertificates(
  { ca, cert, key }: GivenCertificates,
  subject: string,
  names: Readonly<Record<keyof GivenCertificates, string>>,
): void {
  checkPem(ca, `${subject}.${names.ca}`);
  checkPem(cert, `${subject}.${names.cert}`);
  if ((cert === undefined) !== (key === undefined))
    throw new UserError(`${subject}: expected ${names.cert} and ${names.key} together`);
  if (cert === undefined || key === undefined) return;
  try {
    createSecureContext({ cert, key });
  } catch (thrown) {
    // OpenSSL's message names the fault, and doesn't quote the key.
    throw new UserError(
      `${subject}: ${names.key} is not a PEM key, or not the key of ${names.cert} (${messageOf(thrown)})`,
    );
  }
}

function checkPem(text: string | undefined, subject: string): void {
  if (text === undefined) return;
  const found = text.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  const wrong = found.findIndex((certificate) => !isCertificate(certificate));
  if (found.length > 0 && wrong === -1) return;
  const what = found.length === 0 ? "found none" : `number ${wrong + 1} can't be read`;
  throw new UserError(`${subject}: expected PEM certificates (-----BEGIN CERTIFICATE----- …), ${what}`);
}

function isCertificate(text: string): boolean {
  return orNone(() => new X509Certificate(text)) !== undefined;
}
