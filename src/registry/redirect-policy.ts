import { lookup } from "node:dns/promises";
import { BlockList, isIPv6 } from "node:net";
import { AttemptFailure } from "./registry-error.ts";

/**
 * How far inside a network an address is. A registry may redirect to addresses at its own depth or further out,
 * never further in.
 */
const depths = { public: 0, private: 1, local: 2 } as const;
type Depth = keyof typeof depths;

/** Addresses of this host and of its link (RFC 6890). Clouds have their metadata services there. */
const localSubnets = [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["::", 127],
  ["fe80::", 10],
] as const;
const privateSubnets = [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["fc00::", 7],
] as const;

/** Made when an address is first looked up: lists of Node can't be in a start-up snapshot. */
let networks: { readonly local: BlockList; readonly private: BlockList } | undefined;

function blockListOf(subnets: readonly (readonly [address: string, bits: number])[]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of subnets) list.addSubnet(address, bits, familyOf(address));
  return list;
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv6(address) ? "ipv6" : "ipv4";
}

/** How far inside a network an IP address is. An IPv4 address mapped into IPv6 counts as the IPv4 address. Pure. */
function depthOf(address: string): Depth {
  const family = familyOf(address);
  networks ??= { local: blockListOf(localSubnets), private: blockListOf(privateSubnets) };
  if (networks.local.check(address, family)) return "local";
  return networks.private.check(address, family) ? "private" : "public";
}

/**
 * Checks a URL that a registry names: a redirect's target, or its token server.
 * @param what the URL's role, for the message
 * @throws AttemptFailure if it leads from https to http, holds credentials, or leads from outside to a private
 * network or this machine
 */
export async function checkRedirect(from: URL, to: URL, what: string): Promise<void> {
  const scheme = to.protocol;
  if (scheme !== "https:" && !(scheme === "http:" && from.protocol === "http:")) {
    throw new AttemptFailure(`${what} ${to.origin} is refused: ${scheme}// from ${from.protocol}//`, "other");
  }
  if (to.username !== "" || to.password !== "") {
    throw new AttemptFailure(`${what} ${to.host} is refused: the URL holds credentials`, "other");
  }
  if (to.hostname === from.hostname) return;
  const [here, there] = await Promise.all([innermostDepth(from.hostname), innermostDepth(to.hostname)]);
  if (depths[there] > depths[here]) {
    throw new AttemptFailure(
      `${what} ${to.origin} is refused: a ${there} address named by a ${here} one`,
      "other",
    );
  }
}

/**
 * The innermost depth of a host's addresses. A name that can't be looked up here counts as public: either a proxy
 * looks it up, or the request fails.
 */
async function innermostDepth(hostname: string): Promise<Depth> {
  const found = await lookup(hostname.replace(/^\[|\]$/g, ""), { all: true }).catch(() => []);
  const all = found.map(({ address }) => depthOf(address));
  if (all.includes("local")) return "local";
  return all.includes("private") ? "private" : "public";
}
