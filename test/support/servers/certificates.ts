import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";

/** Paths of PEM files: a certificate, its key (PKCS #8) and the authority that signed it. */
export interface ServerCertificate {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface Authority extends AsyncDisposable {
  readonly folder: string;
  /** The authority's certificate, a PEM file. */
  readonly ca: string;
  /** A certificate for a server reached as 127.0.0.1, ::1, localhost or one of `names`. */
  server(...names: string[]): Promise<ServerCertificate>;
  /** A certificate for the same server that no client should accept. */
  faulty(fault: "expired" | "for another name"): Promise<ServerCertificate>;
  /** A certificate for a client. */
  client(name: string): Promise<ServerCertificate>;
}

/** Makes a certificate authority whose certificates hold for two days; its folder goes with it. */
export async function createAuthority(name = "test authority"): Promise<Authority> {
  const folder = await createPrivateFolder("test-certificates");
  const ca = join(folder.path, "ca.pem");
  const caKey = join(folder.path, "ca.key");
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
  await openssl(
    "req",
    "-x509",
    "-days",
    "2",
    "-subj",
    `/CN=${name}`,
    ...newKey,
    ...signs,
    "-keyout",
    caKey,
    "-out",
    ca,
  );
  let issued = 0;

  async function issue(subject: string, extensions: readonly string[], days = 2): Promise<ServerCertificate> {
    const base = join(folder.path, `${++issued}`);
    const [cert, key, request, extensionFile] = [`${base}.pem`, `${base}.key`, `${base}.csr`, `${base}.ext`];
    await writeFile(extensionFile, ["basicConstraints=critical,CA:FALSE", ...extensions].join("\n"));
    await openssl("req", "-new", "-subj", `/CN=${subject}`, ...newKey, "-keyout", key, "-out", request);
    const signedBy = [
      "-CA",
      ca,
      "-CAkey",
      caKey,
      "-set_serial",
      `0x${crypto.randomUUID().replaceAll("-", "")}`,
    ];
    await openssl(
      "x509",
      "-req",
      "-in",
      request,
      "-days",
      String(days),
      ...signedBy,
      "-extfile",
      extensionFile,
      "-out",
      cert,
    );
    return { ca, cert, key };
  }

  return {
    folder: folder.path,
    ca,
    server: (...names) => {
      const hosts = ["localhost", ...names].map((host) => `DNS:${host}`).join(",");
      return issue(names[0] ?? "localhost", [
        "extendedKeyUsage=serverAuth",
        `subjectAltName=IP:127.0.0.1,IP:::1,${hosts}`,
      ]);
    },
    faulty: (fault) =>
      fault === "expired"
        ? issue("localhost", ["subjectAltName=IP:127.0.0.1,DNS:localhost"], -1)
        : issue("other.example", ["subjectAltName=IP:127.0.0.2,DNS:other.example"]),
    client: (client) => issue(client, ["extendedKeyUsage=clientAuth", `subjectAltName=DNS:${client}`]),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** Runs openssl(1); its words are in the error when it fails. */
async function openssl(...args: readonly string[]): Promise<void> {
  await execa("openssl", args, { stdin: "ignore" });
}
