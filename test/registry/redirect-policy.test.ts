import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { openConnections } from "../../src/registry/connection.ts";
import { checkRedirect, type Depth, depthOf, isSameServer } from "../../src/registry/redirect-policy.ts";

/** Addresses by how far inside a network they are: first and last ones of ranges, and their neighbours. */
const addresses: Readonly<Record<Depth, readonly string[]>> = {
  public: [
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "::ffff:808:808",
    "::8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "::ffff:0:8.8.8.8",
    "fbff::1",
  ],
  private: [
    "10.0.0.0",
    "10.255.255.255",
    "172.16.0.0",
    "172.31.255.255",
    "192.168.0.0",
    "192.168.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "192.0.0.1",
    "198.18.0.0",
    "198.19.255.255",
    "240.0.0.1",
    "fc00::1",
    "fdff:ffff::1",
    "fd12:3456::1",
    "fec0::1",
    "feff::1",
    "64:ff9b:1::1",
    "::ffff:10.1.2.3",
    "::ffff:a01:203",
    "::10.1.2.3",
    "64:ff9b::10.1.2.3",
    "64:ff9b::c0a8:1",
    "2002:a01:203::1",
    "2002:c0a8:101:1:2:3:4:5",
    "::ffff:0:172.16.0.1",
  ],
  local: [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "239.255.255.255",
    "255.255.255.255",
    "100.100.100.200",
    "192.0.0.192",
    "::",
    "::1",
    "0:0:0:0:0:0:0:1",
    "fe80::1",
    "fe80::1%lo",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:169.254.169.254",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "::ffff:0:127.0.0.1",
  ],
};
for (const [depth, all] of Object.entries(addresses)) {
  test(`addresses are known as ${depth} ones, however they are written`, () => {
    for (const address of all) assert.equal(depthOf(address), depth, address);
  });
}

/** A URL of the registry, one that it names, and the message if that is refused. */
type Pair = readonly [from: string, to: string, refusal?: RegExp];
const inward = /a (local|private) address named by a (private|public) one/;
const pairs: readonly Pair[] = [
  ["https://8.8.8.8", "https://9.9.9.9"],
  ["https://8.8.8.8", "https://10.0.0.1", inward],
  ["https://8.8.8.8", "https://[fd12::1]", inward],
  ["https://8.8.8.8", "https://127.0.0.1", inward],
  ["https://10.0.0.1", "https://8.8.8.8"],
  ["https://10.0.0.1", "https://192.168.1.1"],
  ["https://10.0.0.1", "https://169.254.169.254", inward],
  ["https://10.0.0.1", "https://100.100.100.200", inward],
  ["https://127.0.0.1", "https://10.0.0.1"],
  ["https://127.0.0.1", "https://[::1]"],
  // The same host may name another port.
  ["https://8.8.8.8", "https://8.8.8.8:8443"],
  // Names of this machine, and numbers that a URL's parser turns into its address.
  ...[
    "localhost",
    "LOCALHOST",
    "localhost.",
    "registry.localhost",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "%31%32%37.0.0.1",
    "127。0。0。1",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[0:0:0:0:0:ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[::]",
  ].map((host): Pair => ["http://8.8.8.8", `http://${host}:5000`, inward]),
  ["http://8.8.8.8", "https://9.9.9.9"],
  ["https://8.8.8.8", "http://9.9.9.9", /http:\/\/ from https:/],
  ["https://8.8.8.8", "http://8.8.8.8", /http:\/\/ from https:/],
  ["http://8.8.8.8", "file:///etc/passwd", /file:\/\/ from http:/],
  ["http://8.8.8.8", "ftp://9.9.9.9", /ftp:\/\/ from http:/],
  ["https://8.8.8.8", "https://user@9.9.9.9", /holds credentials/],
  ["https://8.8.8.8", "https://:word@9.9.9.9", /holds credentials/],
  // A name that nobody knows here may be known to a proxy.
  ["https://8.8.8.8", "https://registry.invalid"],
  ["https://registry.invalid", "https://10.0.0.1", inward],
];
for (const [from, to, refusal] of pairs) {
  test(`${from} may ${refusal === undefined ? "" : "not "}name ${to}`, async () => {
    const checked = checkRedirect(new URL(from), new URL(to), "the redirect to");
    if (refusal === undefined) await checked;
    else await assert.rejects(checked, refusal);
  });
}

for (const [from, to, isSame] of [
  ["https://reg.example", "https://reg.example:443/x", true],
  ["http://reg.example", "https://reg.example", true],
  ["http://reg.example:80", "https://reg.example:443", true],
  ["http://reg.example:5000", "https://reg.example:5000", true],
  ["http://reg.example:443", "https://reg.example", true],
  ["http://reg.example", "https://reg.example:8443", false],
  ["http://reg.example:5000", "https://reg.example", false],
  ["http://reg.example:5000", "http://reg.example:5001", false],
  ["https://reg.example", "https://reg.example:8443", false],
  ["https://reg.example", "http://reg.example", false],
  ["http://reg.example", "https://other.example", false],
  ["https://reg.example", "https://reg.example.other.example", false],
] as const)
  test(`${to} is ${isSame ? "" : "not "}the server of ${from}`, () => {
    assert.equal(isSameServer(new URL(from), new URL(to)), isSame);
  });

test("a name that leads inside only when it is connected to is refused before anything is sent", async () => {
  let connections = 0;
  const server = createServer((_, response) => response.end()).on("connection", () => connections++);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = new URL(`http://localhost:${(server.address() as AddressInfo).port}/`);
  try {
    using opened = openConnections({ hosts: new Map() }, "registry.example", {});
    const ask = (within: Depth | undefined) =>
      opened.send(
        { method: "GET", url, headers: {}, within },
        { signal: AbortSignal.timeout(60_000), stall: 60_000 },
      );
    // A connection that is open already is no way around it.
    (await ask(undefined)).resume();
    (await ask("local")).resume();
    const before = connections;
    for (const within of ["public", "private"] as const)
      await assert.rejects(
        ask(within),
        new RegExp(`leads to a local address now, and a ${within} one named it`),
      );
    assert.equal(connections, before);
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
