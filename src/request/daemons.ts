import * as z from "zod";
import { UserError } from "../host/errors.ts";
import { parseKnownPlatform } from "../image/platform-names.ts";
import { placed, type Rule, thrownBy } from "./rules.ts";
import { nonEmpty, pem, present } from "./scalars.ts";
import { secret } from "./schema-parts.ts";

const tls = z.strictObject({
  ca: secret(pem).optional().describe("PEM certificate of the authority that signed the daemon's."),
  cert: secret(pem).optional().describe("PEM certificate of this client."),
  key: secret(nonEmpty).optional().describe("PEM key of `cert`."),
  server_name: z
    .string()
    .regex(/^[A-Za-z0-9*][A-Za-z0-9.:*_-]*$/, { error: "expected a host name or an IP address" })
    .optional()
    .describe("Name to look for in the daemon's certificate."),
});

const port = "(?:[1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d\\d|655[0-2]\\d|6553[0-5])";
const tcpAddress = new RegExp(`^tcp://(?:\\[[0-9a-fA-F:.]+\\]|[^\\s/:@[\\]-][^\\s/:@[\\]]*):${port}$`);
/** With some of these schemes the rest becomes an argument of ssh(1) or docker(1), so it must not begin with `-`. */
const otherAddress =
  /^(?:unix|docker-container|podman-container|kube-pod|nerdctl-container|ssh):\/\/(?!-|[^/]*:[^/]*@)\S+$/;

// The address becomes an argument and is shown, so it must not hold a password.
const daemonAddress = secret(z.string()).regex(new RegExp(`${tcpAddress.source}|${otherAddress.source}`), {
  error: ({ input }) => addressFault(String(input)),
});

/** What is wrong with a daemon's address, which isn't repeated: it may hold a password. */
function addressFault(given: string): string {
  const [, scheme, rest = ""] = /^(?:([^\s/]*):\/\/)?(.*)$/s.exec(given) ?? [];
  const isPlain = /^[^\s/@]+\/*$/.test(rest);
  if (scheme === undefined && isPlain && /:\d+\/*$/.test(rest))
    return "expected a scheme before the host, as in tcp://host:1234";
  if (scheme === "http" || scheme === "https" || scheme === "grpc" || scheme === "dns")
    return "expected tcp://host:1234 (and tls, if the daemon wants certificates), since buildctl takes no other address of a network";
  if (scheme === "tcp" && isPlain) {
    if (!/:\d+\/*$/.test(rest)) return "expected a port after the host, as in tcp://host:1234";
    if (rest.endsWith("/")) return "expected nothing after the port, as in tcp://host:1234";
    if (!new RegExp(`:${port}$`).test(rest)) return "expected a port from 1 to 65535, as in tcp://host:1234";
  }
  return "expected an address as buildctl takes it, such as tcp://host:1234 or unix:///path, without a password";
}

const daemon = {
  address: daemonAddress.describe("Address of a running buildkitd: `tcp://host:1234`, `unix:///path` …"),
  tls: tls.optional().describe("Certificates for a daemon that wants TLS."),
};

const buildkit = z.strictObject({
  ...daemon,
  resolve: z
    .union([z.enum(["one", "all"]), z.boolean().transform((all) => (all ? "all" : "one"))], {
      error: "expected one or all",
    })
    .default("one")
    .describe(
      "`all`: every address behind the name in `address` is a daemon to build with, as with a headless Kubernetes service.",
    ),
  max_builds: z
    .number()
    .int()
    .positive()
    .optional()
    .describe(
      "With `resolve: all`, a daemon that runs this many builds is skipped while others run fewer. Default: 4.",
    ),
});

const node = z.strictObject({
  ...daemon,
  platforms: z
    .array(nonEmpty)
    .min(1, { error: "expected the platforms that the node's machine runs, as in [linux/arm64]" })
    .describe("What the node's machine runs by itself: `[linux/arm64]`."),
});

/** How the step's own BuildKit runs. */
export const sandbox = z.enum(["auto", "none", "gvisor"]).default("auto");

/** `source`: where to build. */
export const daemonFields = {
  buildkit: buildkit
    .optional()
    .describe(
      "A BuildKit that runs elsewhere: `{address, tls, resolve, max_builds}`. Default: the step starts its own.",
    ),
  nodes: z
    .array(node)
    .min(1, { error: "expected at least one node" })
    .optional()
    .describe(
      "Several BuildKits, each with the `platforms` of its machine. Each platform is built where it is native, all at the same time. If a node doesn't answer, another with the same platform takes over.",
    ),
  sandbox: sandbox.describe(
    "Where the step's own BuildKit runs: `auto` (default) uses a gVisor sandbox only if the container allows nothing else, `none` never uses one, `gvisor` always does, to put another kernel between a Dockerfile and the worker's (docs/without-privileges.md).",
  ),
  buildkit_config: secret(nonEmpty)
    .optional()
    .describe("TOML, merged into the configuration of the step's own buildkitd."),
};

type DaemonFields = z.output<ReturnType<typeof z.strictObject<typeof daemonFields>>>;

/** What goes together in the fields that say where to build. */
export const daemonRules: readonly Rule<DaemonFields>[] = [
  {
    of: ["nodes", "buildkit"],
    faults: ({ buildkit: one, nodes }) =>
      one !== undefined && nodes !== undefined
        ? "source: buildkit names one daemon, nodes several: remove one of the two"
        : undefined,
  },
  {
    of: ["buildkit_config", "buildkit", "nodes"],
    faults: (given) =>
      given.buildkit_config !== undefined && isElsewhere(given)
        ? `source: buildkit_config configures the step's own buildkitd, but ${elsewhereField(given)} names another: remove one of the two`
        : undefined,
  },
  {
    of: ["sandbox", "buildkit", "nodes"],
    faults: (given) =>
      given.sandbox !== "auto" && isElsewhere(given)
        ? `source: sandbox says how the step's own BuildKit runs, but ${elsewhereField(given)} names another: remove one of the two`
        : undefined,
  },
  {
    of: ["buildkit"],
    faults: thrownBy(({ buildkit: one }) => (one === undefined ? undefined : readBuildKit(one))),
  },
  {
    of: ["nodes"],
    faults: ({ nodes = [] }) => {
      const wrong = placed("nodes", nodes.entries(), (each, index) => toNode(each, Number(index)));
      if (wrong.length > 0) return wrong;
      const addresses = nodes.map(({ address }) => address);
      const twice = addresses.findIndex((address, index) => addresses.indexOf(address) !== index);
      if (twice === -1) return undefined;
      return [{ path: ["nodes", twice], message: `source.nodes: ${addresses[twice]} is given twice` }];
    },
  },
];

function isElsewhere({ buildkit: one, nodes }: DaemonFields): boolean {
  return (one ?? nodes) !== undefined;
}

function elsewhereField({ buildkit: one }: DaemonFields): string {
  return one === undefined ? "nodes" : "buildkit";
}

/**
 * Where to build, and how the daemon that the step starts is sandboxed. The fields keep {@link daemonRules}.
 * @throws UserError for an address or platform that can't be used
 */
export function readDaemons(given: DaemonFields) {
  if (given.buildkit !== undefined) return readBuildKit(given.buildkit);
  const [first, ...others] = (given.nodes ?? []).map(toNode);
  if (first === undefined) return { kind: "own", sandbox: given.sandbox } as const;
  return { kind: "nodes", nodes: [first, ...others] as const } as const;
}

function readBuildKit({ resolve, max_builds: maxBuilds, ...given }: z.output<typeof buildkit>) {
  const remote = remoteBuildKit(given);
  if (resolve === "all") {
    if (!tcpAddress.test(remote.address))
      throw new UserError(
        `source.buildkit: with "resolve: all" the address has to be tcp://name:port; found ${remote.address}`,
      );
    return { kind: "farm", farm: { remote, maxBuilds: maxBuilds ?? 4 } } as const;
  }
  if (maxBuilds !== undefined)
    throw new UserError(
      'source.buildkit: max_builds only has an effect with "resolve: all": add that, or remove max_builds',
    );
  return { kind: "remote", remote } as const;
}

function toNode({ platforms, ...remote }: z.output<typeof node>, index: number) {
  const [first, ...others] = platforms.map((name) =>
    parseKnownPlatform(name, `source.nodes.${index}.platforms`),
  );
  if (first === undefined) throw new Error("the schema wants at least one platform");
  return { ...remoteBuildKit(remote), platforms: [first, ...others] as const };
}

function remoteBuildKit({ address: given, tls: files }: Pick<z.output<typeof buildkit>, "address" | "tls">) {
  if (files === undefined) return { address: given };
  const { server_name: serverName, ...texts } = files;
  return { address: given, tls: { ...present(texts), ...present({ serverName }) } };
}
