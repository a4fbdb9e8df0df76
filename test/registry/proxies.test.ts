import assert from "node:assert/strict";
import { join } from "node:path";
import { before, test } from "node:test";
import { execa } from "execa";
import { proxyFor } from "../../src/registry/proxies.ts";
import { buildGoProgram } from "../support/runs/go-program.ts";

/** Prints what Go's programs, and so BuildKit, take for the proxy of each URL. */
let program: string;

before(async () => {
  const source = join(import.meta.dirname, "../support/servers/go-proxies/main.go");
  program = await buildGoProgram({ name: "go-proxies", source });
});

const urls = [
  "https://registry.example/v2/",
  "https://registry.example:5000/v2/",
  "https://team.registry.example/v2/",
  "https://otherregistry.example/v2/",
  "https://REGISTRY.example/v2/",
  "http://registry.example/v2/",
  "http://registry.example:5000/v2/",
  "https://10.1.2.3/v2/",
  "https://10.1.2.3:5000/v2/",
  "https://192.168.7.7/v2/",
  "https://[2001:db8::1]/v2/",
  "https://[2001:db8::1]:5000/v2/",
  "https://localhost/v2/",
  "https://localhost:5000/v2/",
  "https://a.localhost/v2/",
  "https://127.0.0.1:5000/v2/",
  "https://127.9.9.9/v2/",
  "https://[::1]:5000/v2/",
  "https://[::ffff:10.1.2.3]/v2/",
  "https://[::ffff:10.1.2.3]:5000/v2/",
  "https://[::ffff:127.0.0.1]:5000/v2/",
  "https://bücher.example/v2/",
  "https://xn--bcher-kva.example:5000/v2/",
  "https://team.bücher.example/v2/",
];

const both = { HTTP_PROXY: "http://plain.example:3128", HTTPS_PROXY: "http://secure.example:3128" };

const environments: readonly Readonly<Record<string, string>>[] = [
  {},
  both,
  { http_proxy: "http://plain.example:3128" },
  { HTTPS_PROXY: "", https_proxy: "http://lower.example:3128" },
  { HTTPS_PROXY: "http://upper.example:3128", https_proxy: "http://lower.example:3128" },
  { HTTPS_PROXY: "http://upper.example:3128", https_proxy: "" },
  { HTTPS_PROXY: "proxy.example:3128" },
  { HTTPS_PROXY: "10.0.0.1:3128" },
  { HTTPS_PROXY: "proxy.example" },
  { HTTPS_PROXY: "https://proxy.example:3129" },
  { ALL_PROXY: "http://all.example:3128" },
  { ...both, NO_PROXY: "other.example", no_proxy: "*" },
  { ...both, no_proxy: "registry.example" },
  ...[
    "*",
    "example",
    ".example",
    "*.example",
    "registry.example",
    ".registry.example",
    "*.registry.example",
    "Registry.EXAMPLE",
    "registry.example:443",
    "registry.example:5000",
    ".registry.example:443",
    "*registry.example",
    "gistry.example",
    " other.example ,  registry.example ",
    "other.example registry.example",
    ",,registry.example,",
    ":443",
    ".",
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3:5000",
    "10.1.2.3/33",
    "10.1.2.",
    "10.1.2.0-10.1.2.9",
    "10.0.0.0/8,192.168.0.0/16",
    "2001:db8::1",
    "[2001:db8::1]",
    "[2001:db8::1]:5000",
    "2001:db8::/32",
    "::ffff:10.1.2.3",
    "[::ffff:10.1.2.3]:5000",
    "::ffff:10.0.0.0/104",
    "::ffff:10.0.0.0/95",
    "::ffff:0:0/96",
    "::ffff:0:0/80",
    "fe80::1%eth0",
    ".3",
    "2.3",
    ":1]",
    "bücher.example",
    "BÜCHER.example",
    ".bücher.example",
    "*.bücher.example",
    "bücher.example:5000",
    "xn--bcher-kva.example",
    "bü cher.example,bücher.example",
    "0.0.0.0/0",
    "::/0",
  ].map((list) => ({ ...both, NO_PROXY: list })),
];

test("a URL has the proxy that it has in Go's programs, whatever NO_PROXY looks like", async () => {
  for (const env of environments) {
    const { stdout } = await execa(program, urls, { env, extendEnv: false, stripFinalNewline: false });
    const inGo = stdout.split("\n").slice(0, -1);
    const here = urls.map((url) => {
      const proxy = proxyFor(new URL(url), env);
      return proxy === undefined ? "" : `${proxy.protocol}//${proxy.host}`;
    });
    const pairs = (proxies: readonly string[]) => urls.map((url, index) => `${url} ${proxies[index]}`);
    assert.deepEqual(pairs(here), pairs(inGo), JSON.stringify(env));
  }
});
