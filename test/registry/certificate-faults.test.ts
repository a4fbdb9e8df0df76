import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { certificateFaultIn } from "../../src/registry/certificate-faults.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { createAuthority, type ServerCertificate } from "../support/servers/certificates.ts";
import { startRegistry } from "../support/servers/registry.ts";

/** What Node and Go say (Go: crypto/x509/verify.go). */
const words: Readonly<Record<string, readonly string[]>> = {
  "certificate for another name": [
    "ERR_TLS_CERT_ALTNAME_INVALID Hostname/IP does not match certificate's altnames: Host: a. is not in the cert's altnames: DNS:b",
    "x509: certificate is valid for b, c, not a",
    "x509: certificate is not valid for any names, but wanted to match a",
    "x509: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
    "x509: certificate relies on legacy Common Name field, use SANs instead",
  ],
  "expired certificate": [
    "CERT_HAS_EXPIRED certificate has expired",
    "x509: certificate has expired or is not yet valid: current time 2025-03-01T00:00:00Z is after 2025-02-01T00:00:00Z",
  ],
  "certificate not yet valid": [
    "CERT_NOT_YET_VALID certificate is not yet valid",
    "x509: certificate has expired or is not yet valid: current time 2025-03-01T00:00:00Z is before 2025-04-01T00:00:00Z",
  ],
  "untrusted certificate": [
    "SELF_SIGNED_CERT_IN_CHAIN self-signed certificate in certificate chain",
    "DEPTH_ZERO_SELF_SIGNED_CERT self-signed certificate",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE unable to verify the first certificate",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY unable to get local issuer certificate",
    "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  ],
};
for (const [fault, said] of Object.entries(words)) {
  test(`the words for an ${fault} are told from others`, () => {
    for (const text of said) assert.equal(certificateFaultIn(text), fault, text);
  });
}

test("what isn't about a certificate's trust, name or time isn't such a fault", () => {
  for (const text of ["ECONNREFUSED", "wrong version number", "remote error: tls: bad certificate"]) {
    assert.equal(certificateFaultIn(text), undefined);
  }
});

/** A put, which asks before it builds, and a get of a registry with such a certificate. */
async function askRegistry(tls: ServerCertificate, caCerts: string | undefined) {
  await using registry = await startRegistry({ tls });
  await using folder = await createPrivateFolder("test-get");
  const source = {
    repository: `${registry.host}/app`,
    timeouts: { retry: 5 },
    ...(caCerts === undefined ? {} : { ca_certs: caCerts }),
  };
  const version = { digest: `sha256:${"0".repeat(64)}` };
  const env = { NO_COLOR: "1" };
  return [
    await smallPut({ source }),
    await runResource("in", { args: [folder.path], stdin: { source, version }, env }),
  ];
}

test("a certificate by an unknown CA, for another name or out of date is told with its own advice, and not retried", async () => {
  await using authority = await createAuthority();
  const ca = await readFile(authority.ca, "utf8");
  const cases = [
    [await authority.server(), undefined, /its certificate is not trusted: give its CA as "ca_certs"/],
    [
      await authority.faulty("for another name"),
      ca,
      /its certificate is for another name, .*: reach it by a name that the certificate has/,
    ],
    [
      await authority.faulty("expired"),
      ca,
      /its certificate has expired: whoever runs that host has to renew/,
    ],
  ] as const;
  for (const [tls, caCerts, message] of cases) {
    for (const run of await askRegistry(tls, caCerts)) {
      assertFailedCleanly(run, message);
      assert.doesNotMatch(run.stderr, /retrying|tried for/);
    }
  }
});
