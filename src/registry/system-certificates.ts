import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { orNone } from "../host/or-none.ts";
import type { Environment } from "../host/step-context.ts";

/** Where Go's programs, and so BuildKit, look for the system's certificates (Go, crypto/x509/root_linux.go). */
const bundles = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];
const folders = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/**
 * The CA certificates that this machine trusts, as PEM texts; empty if it has none. They are those of
 * `SSL_CERT_FILE` or else of the first bundle that exists, and those in the folders of `SSL_CERT_DIR` (separated by
 * colons) or else in the default folders. Operators mount their own certificates over either; Node by itself reads
 * neither.
 *
 * Debian's folder has 430 names. Reading them without another thread takes a tenth of the time.
 */
export function systemCertificates(env: Environment): readonly string[] {
  const file = env["SSL_CERT_FILE"] ?? "";
  const bundle = firstOf(file === "" ? bundles : [file]);
  const named = env["SSL_CERT_DIR"] ?? "";
  const found = (named === "" ? folders : named.split(":")).map(certificatesIn);
  // Debian's folder holds each certificate of its bundle a second time.
  const more = new Set(found.flat().filter((text) => !bundle.includes(text)));
  return [...(bundle === "" ? [] : [bundle]), ...more];
}

function firstOf(files: readonly string[]): string {
  for (const file of files) {
    const text = orNone(() => readFileSync(file, "utf8"));
    if (text !== undefined) return text;
  }
  return "";
}

function certificatesIn(folder: string): readonly string[] {
  const entries = orNone(() => readdirSync(folder, { withFileTypes: true })) ?? [];
  const texts = entries.map((entry) => {
    const path = join(folder, entry.name);
    // OpenSSL's hash names are links to other files of the same folder.
    if (entry.isSymbolicLink() && !readlinkSync(path).includes("/")) return "";
    // A FIFO would never end.
    return orNone(() => (statSync(path).isFile() ? readFileSync(path, "utf8") : "")) ?? "";
  });
  return texts.map((text) => text.trim()).filter((text) => text.includes("CERTIFICATE-----"));
}
