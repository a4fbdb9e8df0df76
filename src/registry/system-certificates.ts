import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
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
 */
export async function systemCertificates(env: Environment): Promise<readonly string[]> {
  const file = env["SSL_CERT_FILE"] ?? "";
  const bundle = await firstOf(file === "" ? bundles : [file]);
  const named = env["SSL_CERT_DIR"] ?? "";
  const found = await Promise.all((named === "" ? folders : named.split(":")).map(certificatesIn));
  // Debian's folder holds each certificate of its bundle a second time.
  const more = new Set(found.flat().filter((text) => !bundle.includes(text)));
  return [...(bundle === "" ? [] : [bundle]), ...more];
}

async function firstOf(files: readonly string[]): Promise<string> {
  for (const file of files) {
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text !== undefined) return text;
  }
  return "";
}

async function certificatesIn(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const texts = entries.map(async (entry) => {
    const path = join(folder, entry.name);
    // OpenSSL's hash names are links to other files of the same folder.
    if (entry.isSymbolicLink() && !(await readlink(path)).includes("/")) return "";
    return readFile(path, "utf8").catch(() => "");
  });
  return (await Promise.all(texts)).map((text) => text.trim()).filter((text) => text.includes(begin));
}

const begin = "CERTIFICATE-----";
