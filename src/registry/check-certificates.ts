import { X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { messageOf, UserError } from "../host/errors.ts";
import type { RegistryAccess } from "./access.ts";

/**
 * Checks the certificates and keys in a source before they are used. TLS libraries silently skip those that they
 * can't parse, and then fail for lack of them.
 * @throws UserError naming the field
 */
export function checkCertificates({ caCerts, hosts }: RegistryAccess): void {
  checkPem(caCerts, "source.ca_certs");
  for (const [host, access] of hosts) {
    const subject = `source.registries.${host}`;
    if (access.caCerts !== caCerts) checkPem(access.caCerts, `${subject}.ca_certs`);
    const { clientCert: cert, clientKey: key } = access;
    checkPem(cert, `${subject}.client_cert`);
    if ((cert === undefined) !== (key === undefined))
      throw new UserError(`${subject}: expected client_cert and client_key together`);
    if (cert === undefined || key === undefined) continue;
    try {
      createSecureContext({ cert, key });
    } catch (thrown) {
      // OpenSSL's message names the fault, and doesn't quote the key.
      throw new UserError(
        `${subject}: client_key is no PEM key, or none of client_cert (${messageOf(thrown)})`,
      );
    }
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
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}
