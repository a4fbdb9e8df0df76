import assert from "node:assert/strict";
import { test } from "node:test";
import type { RegistryAccess } from "../../src/registry/access.ts";
import { AttemptFailure, networkFailure, statusFailure } from "../../src/registry/registry-error.ts";
import { repositoryPlace } from "../../src/registry/repository-place.ts";

const access: RegistryAccess = {
  hosts: new Map(),
  aws: { host: "1.dkr.ecr.eu-west-1.amazonaws.com", region: "eu-west-1", roleArns: [] },
};
const named = (host: string, field: string, storeHost: string) =>
  repositoryPlace({ host, path: "app" }, { field, storeHost, access });
const own = named("a.example", "source.repository", "a.example");
const alike = named("a.example", "params.also", "a.example");
const other = named("b.example", "params.also", "a.example");
const ecr = named(
  "1.dkr.ecr.eu-west-1.amazonaws.com",
  "source.repository",
  "1.dkr.ecr.eu-west-1.amazonaws.com",
);
const down = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
const plain = Object.assign(new Error("wrong version number"), { code: "ERR_SSL_WRONG_VERSION_NUMBER" });
const status = (code: number) => statusFailure(code, { asked: "GET x", said: "" });

const rows = [
  [
    "a host that is down",
    networkFailure(down, "GET x"),
    own,
    "check the host in source.repository, and that …",
  ],
  ["another repository's", networkFailure(down, "GET x"), other, "check the host in params.also, and that …"],
  ["a repository that isn't there", status(404), other, "check the name in params.also"],
  ["a user who is refused", status(401), own, "check username and password in the source (or docker_config)"],
  ["on the same host", status(401), alike, "check username and password in the source (or docker_config)"],
  [
    "on another host",
    status(401),
    other,
    'check username and password for b.example under "registries" in the source (or docker_config)',
  ],
  ["Amazon ECR", status(401), ecr, "check the keys and roles of the source's aws_ fields …"],
  [
    "plain http",
    networkFailure(plain, "GET x"),
    own,
    'the registry uses plain http: set "insecure: true" in the source',
  ],
  [
    "of another host",
    networkFailure(plain, "GET x"),
    other,
    'the registry uses plain http: set "insecure: true" for b.example under "registries" in the source',
  ],
  [
    "a token server that is down",
    networkFailure(down, "GET x", "auth.example"),
    own,
    "the registry sends its clients to auth.example: check that …",
  ],
  [
    "a token server without TLS",
    networkFailure(plain, "GET x", "auth.example"),
    own,
    "the registry sends its clients to https://auth.example, which uses plain http: correct …",
  ],
  [
    "a token server with a certificate of an unknown CA",
    networkFailure(
      Object.assign(new Error("self-signed"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }),
      "x",
      "auth.example",
    ),
    own,
    'its certificate is not trusted: give its CA as "ca_certs" …',
  ],
] as const;

test("a failure of a registry is answered with the field that names the repository or lets the user in", () => {
  for (const [what, failure, place, advice] of rows) {
    assert.ok(failure instanceof AttemptFailure);
    const { message } = failure.toError(place);
    const said = message.slice(message.indexOf("; ") + 2);
    assert.ok(message.startsWith(`${place.name}: `), message);
    const beginning = advice.endsWith(" …") ? advice.slice(0, -2) : undefined;
    assert.ok(beginning === undefined ? said === advice : said.startsWith(beginning), `${what}: ${said}`);
  }
});
