import assert from "node:assert/strict";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { startTokenServer } from "../support/servers/token-server.ts";

const password = "s3cret %2F 'pass' word";
const [authority] = await untilTestsEnd(createAuthority());
const caCerts = await readFile(authority.ca, "utf8");
const certificate = await authority.server();
const [tokens] = await untilTestsEnd(
  startTokenServer(certificate, {
    pusher: { password, may: { "*": ["pull", "push"] } },
    reader: { password, may: { "*": ["pull"] } },
  }),
);
/** Https by a private CA, with bearer tokens. */
const [registry] = await untilTestsEnd(startRegistry({ tls: certificate, token: tokens.token }));

async function get(source: unknown, version: unknown, env: Readonly<Record<string, string>> = {}) {
  await using folder = await createPrivateFolder("test-get");
  return await runResource("in", {
    args: [folder.path],
    stdin: { source, version },
    env: { NO_COLOR: "1", ...env },
  });
}

test("user name, password and a CA serve push and get of a registry with a token server", async () => {
  const source = { repository: `${registry.host}/team/app`, username: "pusher", password, ca_certs: caCerts };
  const put = await smallPut({ source, params: { tags: ["one"] } });
  const { version } = versionOf(put);
  const got = await get(source, version);
  versionOf(got);
  for (const run of [put, got]) assert.ok(!run.output.includes(password));
});

test("wrong credentials, and too few rights, are told before anything is built", async () => {
  const repository = `${registry.host}/team/app`;
  const cases = [
    [
      { username: "pusher", password: "wrong one" },
      /refuses to give a token \(401\); check username and password/,
    ],
    [{ username: "reader", password }, /401.*it needs the rights to pull and push there/],
    [{}, /check username and password|rights to pull and push/],
  ] as const;
  for (const [login, message] of cases) {
    const run = await smallPut({ source: { repository, ca_certs: caCerts, ...login } });
    assertFailedCleanly(run, message);
    assert.doesNotMatch(run.output, /COPY|building with|wrong one/);
  }
});

test("a CA that is missing is told with where to give it", async () => {
  const run = await smallPut({
    source: { repository: `${registry.host}/app`, username: "pusher", password },
  });
  assertFailedCleanly(run, /its certificate is not trusted: give its CA as "ca_certs"/);
});

test("credentials of one registry are never shown to another", async () => {
  await using plain = await startRegistry();
  await using store = await startFaultProxy(plain.url);
  await using base = await startFaultProxy(plain.url);
  await storeImage(`${plain.host}/base`);
  const source = {
    repository: `${store.host}/app`,
    insecure: true,
    registries: {
      [base.host]: { insecure: true },
      "other.example": { username: "other", password: "another secret" },
      [registry.host]: { username: "pusher", password },
    },
  };
  const tag = (await storeImage(`${plain.host}/base`)).tag;
  const run = await smallPut({ source, dockerfile: `FROM ${base.host}/base:${tag}\nCOPY Dockerfile /\n` });
  const { version } = versionOf(run);
  versionOf(await get(source, version));
  const shown = [...store.requests, ...base.requests].map(({ headers }) => headers.authorization);
  assert.ok(base.requests.length > 0);
  assert.deepEqual([...new Set(shown)], [undefined]);
});

test("base image, cache and store get each their own user's password", async () => {
  const users = { base: "base secret", cache: "cache secret", store: "store secret" };
  const registries = await Promise.all(
    Object.entries(users).map(([name, secret]) => startRegistry({ htpasswd: { [name]: secret } })),
  );
  await using held = new AsyncDisposableStack();
  for (const each of registries) held.use(each);
  const proxies = await Promise.all(registries.map(({ url }) => startFaultProxy(url)));
  for (const each of proxies) held.use(each);
  const [base, cache, store] = proxies.map(({ host }) => host);
  const { tag } = await storeImage(`${registries[0]?.host}/base`, undefined, {
    username: "base",
    password: users.base,
  });
  const source = {
    repository: `${store}/app`,
    username: "store",
    password: users.store,
    insecure: true,
    cache: { ref: `${cache}/cache` },
    registries: {
      [`${base}`]: { insecure: true, username: "base", password: users.base },
      [`${cache}`]: { insecure: true, username: "cache", password: users.cache },
    },
  };
  const run = await smallPut({ source, dockerfile: `FROM ${base}/base:${tag}\nCOPY Dockerfile /\n` });
  const { version } = versionOf(run);
  assert.doesNotMatch(run.stderr, /layer cache not used/);
  versionOf(await get(source, version));
  for (const [index, [user, secret]] of Object.entries(users).entries()) {
    const shown = proxies[index]?.requests.flatMap(({ headers }) => headers.authorization ?? []);
    const own = `Basic ${Buffer.from(`${user}:${secret}`).toString("base64")}`;
    assert.deepEqual([...new Set(shown)], [own]);
  }
});

/** A folder with a credential helper that notes how it is asked, and answers for one server only. */
async function makeHelper(folder: string, name: string, server: string): Promise<string> {
  const bin = join(folder, "bin");
  await mkdir(bin, { recursive: true });
  const program = join(bin, `docker-credential-${name}`);
  const answer = JSON.stringify({ ServerURL: server, Username: "pusher", Secret: password });
  await writeFile(join(folder, "answer"), answer);
  const script = `#!/bin/sh
server=$(cat)
{ echo "$* $server"; env | grep ^AWS_; cat "$AWS_CONFIG_FILE"; stat -c '%a' "$AWS_CONFIG_FILE"; } >>'${folder}/asked' 2>/dev/null
[ "$1 $server" = 'get ${server}' ] && exec cat '${folder}/answer'
echo 'credentials not found in native keychain'; exit 1
`;
  await writeFile(program, script);
  await chmod(program, 0o755);
  return `${bin}:${toolEnvironment()["PATH"]}`;
}

for (const [what, config] of [
  ["credHelpers", (host: string) => ({ credHelpers: { [host]: "fake" } })],
  ["credsStore", () => ({ credsStore: "fake" })],
] as const) {
  test(`a docker_config's ${what} log in for push and get`, async () => {
    await using folder = await createPrivateFolder("test-helper");
    const path = await makeHelper(folder.path, "fake", registry.host);
    const source = {
      repository: `${registry.host}/helped/app`,
      ca_certs: caCerts,
      docker_config: JSON.stringify(config(registry.host)),
    };
    const { version } = versionOf(await smallPut({ source, env: { PATH: path } }));
    versionOf(await get(source, version, { PATH: path }));
    assert.match(await readFile(join(folder.path, "asked"), "utf8"), /^get /);
  });
}

test("a password of the source goes before a docker_config's helpers", async () => {
  await using folder = await createPrivateFolder("test-helper");
  const path = await makeHelper(folder.path, "fake", "nobody.example");
  const source = {
    repository: `${registry.host}/helped/own`,
    ca_certs: caCerts,
    username: "pusher",
    password,
    docker_config: { credsStore: "fake" },
  };
  versionOf(await smallPut({ source, env: { PATH: path } }));
});

test("a helper that isn't there, and one that fails, are named", async () => {
  const source = { repository: `${registry.host}/app`, ca_certs: caCerts };
  const missing = await smallPut({ source: { ...source, docker_config: { credsStore: "no-such" } } });
  assertFailedCleanly(missing, /there is no docker-credential-no-such on PATH/);
  await using folder = await createPrivateFolder("test-helper");
  const path = await makeHelper(folder.path, "bad", registry.host);
  await writeFile(
    join(folder.path, "bin/docker-credential-bad"),
    "#!/bin/sh\necho 'no session: sign in'\nexit 1\n",
  );
  const failing = await smallPut({
    source: { ...source, docker_config: { credsStore: "bad" } },
    env: { PATH: path },
  });
  assertFailedCleanly(failing, /credential helper "bad" for \S+ failed: no session: sign in/);
});

test("the ECR fields log in by docker-credential-ecr-login, through roles, with the key in a private file", async () => {
  await using folder = await createPrivateFolder("test-helper");
  const path = await makeHelper(folder.path, "ecr-login", registry.host);
  const source = {
    repository: `${registry.host}/cloud/app`,
    ca_certs: caCerts,
    aws_region: "eu-west-1",
    aws_access_key_id: "AKIAEXAMPLE",
    aws_secret_access_key: "aws+secret/key",
    aws_session_token: "session=token",
    aws_role_arns: ["arn:aws:iam::111111111111:role/one", "arn:aws:iam::222222222222:role/two"],
  };
  const run = await smallPut({ source, env: { PATH: path } });
  const { version } = versionOf(run);
  versionOf(await get(source, version, { PATH: path }));
  const asked = await readFile(join(folder.path, "asked"), "utf8");
  assert.match(asked, /^AWS_PROFILE=role-1$/m);
  assert.match(asked, /^AWS_REGION=eu-west-1$/m);
  assert.match(asked, /^600$/m);
  assert.ok(
    asked.includes(`[profile key]
region = eu-west-1
aws_access_key_id = AKIAEXAMPLE
aws_secret_access_key = aws+secret/key
aws_session_token = session=token
[profile role-0]
region = eu-west-1
role_arn = arn:aws:iam::111111111111:role/one
source_profile = key
[profile role-1]
region = eu-west-1
role_arn = arn:aws:iam::222222222222:role/two
source_profile = role-0
`),
    asked,
  );
  assert.doesNotMatch(asked.replaceAll(/^aws_.*$/gm, ""), /aws\+secret|session=token/);
  assert.doesNotMatch(run.output, /aws\+secret|session=token/);
});

test("a token that runs out in the middle of a get is fetched anew, once", async () => {
  await using guarded = await startRegistry({ token: tokens.token });
  await using proxy = await startFaultProxy(guarded.url);
  const source = {
    repository: `${proxy.host}/app`,
    insecure: true,
    username: "pusher",
    password,
    ca_certs: caCerts,
  };
  const { version } = versionOf(await smallPut({ source }));
  let expired: string | undefined;
  proxy.inject({
    when: ({ path, headers }) =>
      path.includes("/blobs/") && [undefined, headers.authorization].includes(expired),
    happens: async (faulty) => {
      expired = faulty.request.headers.authorization;
      const { status, headers } = await faulty.forward({ authorization: undefined });
      faulty.response.writeHead(status, headers).end();
    },
  });
  const earlier = tokens.requests.length;
  versionOf(await get(source, version));
  assert.equal(tokens.requests.length - earlier, 2);
  assert.equal(tokens.requests.at(-1)?.headers.authorization?.startsWith("Basic "), true);
});

test("an identity token of a docker_config is exchanged for an access token", async () => {
  const source = {
    repository: `${registry.host}/team/identity`,
    ca_certs: caCerts,
    docker_config: { auths: { [registry.host]: { identitytoken: "refresh-pusher" } } },
  };
  const { version } = versionOf(await smallPut({ source }));
  versionOf(await get(source, version));
});
