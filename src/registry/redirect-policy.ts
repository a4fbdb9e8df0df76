import { lookup as lookupWithCallback } from "node:dns";
import { lookup } from "node:dns/promises";
import { BlockList, isIP, isIPv6, type LookupFunction } from "node:net";
import { AttemptFailure } from "./registry-error.ts";

/**
 * How far inside a network an address is. A registry may redirect to addresses at its own depth or further out,
 * never further in.
 */
const depths = { public: 0, private: 1, local: 2 } as const;
export type Depth = keyof typeof depths;

/** Statuses of redirects (RFC 9110 15.4). */
export const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Redirects that one request follows. */
export const redirectLimit = 5;

/** Addresses of this host and of its link (RFC 6890), those that belong to no host, and clouds' metadata services. */
const localSubnets = [
  ["0.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["224.0.0.0", 4],
  ["255.255.255.255", 32],
  ["::", 127],
  ["fe80::", 10],
  ["ff00::", 8],
  // Metadata of Alibaba Cloud, Oracle Cloud, AWS and Google Cloud, besides 169.254.0.0/16.
  ["100.100.100.200", 32],
  ["192.0.0.192", 32],
  ["fd00:ec2::", 32],
  ["fd20:ce::254", 128],
] as const;
const privateSubnets = [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["192.0.0.0", 24],
  ["198.18.0.0", 15],
  ["240.0.0.0", 4],
  ["64:ff9b:1::", 48],
  ["fc00::", 7],
  ["fec0::", 10],
] as const;
/** IPv6 addresses that lead to an IPv4 address, and the position of the first of its two groups. */
const embeddings = [
  // IPv4-compatible, mapped, translated (RFC 2765) and NAT64 (RFC 6052) addresses.
  { subnet: ["::", 96], group: 6 },
  { subnet: ["::ffff:0:0", 96], group: 6 },
  { subnet: ["::ffff:0:0:0", 96], group: 6 },
  { subnet: ["64:ff9b::", 96], group: 6 },
  // 6to4 (RFC 3056).
  { subnet: ["2002::", 16], group: 1 },
] as const;

/** Made when an address is first looked up: lists of Node can't be in a start-up snapshot. */
let networks: ReturnType<typeof makeNetworks> | undefined;

function makeNetworks() {
  return {
    local: blockListOf(localSubnets),
    private: blockListOf(privateSubnets),
    embeddings: embeddings.map(({ subnet, group }) => ({ list: blockListOf([subnet]), group })),
  };
}

function blockListOf(subnets: readonly (readonly [address: string, bits: number])[]): BlockList {
  const list = new BlockList();
  for (const [address, bits] of subnets) list.addSubnet(address, bits, familyOf(address));
  return list;
}

export function familyOf(address: string): "ipv4" | "ipv6" {
  return isIPv6(address) ? "ipv6" : "ipv4";
}

/**
 * How far inside a network an IP address is. An IPv6 address that leads to an IPv4 address is where that one is. Pure.
 * @param address may have a zone, as in `fe80::1%eth0`
 */
export function depthOf(address: string): Depth {
  networks ??= makeNetworks();
  const [plain = ""] = address.split("%");
  const family = familyOf(plain);
  if (networks.local.check(plain, family)) return "local";
  if (networks.private.check(plain, family)) return "private";
  const embedding =
    family === "ipv6" ? networks.embeddings.find(({ list }) => list.check(plain, family)) : undefined;
  return embedding === undefined ? "public" : depthOf(embeddedAddress(plain, embedding.group));
}

/** An IPv4 address for an IPv6 one that is only another form of it (RFC 4291 2.5.5.2). Other text stays. Pure. */
export function withoutMapping(address: string): string {
  if (!isIPv6(address) || address.includes("%")) return address;
  const isMapped = groupsOf(address).slice(0, 6).join() === "0,0,0,0,0,65535";
  return isMapped ? embeddedAddress(address, 6) : address;
}

function embeddedAddress(address: string, group: number): string {
  const bytes = groupsOf(address)
    .slice(group, group + 2)
    .flatMap((each) => [each >> 8, each & 0xff]);
  return bytes.join(".");
}

/** The eight groups of an IPv6 address. */
function groupsOf(address: string): readonly number[] {
  // A URL writes an IPv6 address in its shortest form, without an IPv4 address at its end.
  const [before = "", after] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const [first, last] = [groupNumbers(before), groupNumbers(after)];
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
}

function groupNumbers(groups = ""): readonly number[] {
  return groups === "" ? [] : groups.split(":").map((each) => Number.parseInt(each, 16));
}

/**
 * Checks a URL that a registry names: a redirect's target, or its token server.
 * @param what the URL's role, for the message
 * @returns how far inside the target may be when it is connected to: its name may have other addresses then. Undefined
 * for another URL of the same host
 * @throws AttemptFailure if it leads from https to http, holds credentials, or leads from outside to a private
 * network or this machine
 */
export async function checkRedirect(from: URL, to: URL, what: string): Promise<Depth | undefined> {
  const scheme = to.protocol;
  if (scheme !== "https:" && !(scheme === "http:" && from.protocol === "http:")) {
    throw new AttemptFailure(`${what} ${to.origin} is refused: ${scheme}// from ${from.protocol}//`, "other");
  }
  if (to.username !== "" || to.password !== "") {
    throw new AttemptFailure(`${what} ${to.host} is refused: the URL holds credentials`, "other");
  }
  if (to.hostname === from.hostname) return undefined;
  const [here, there] = await Promise.all([innermostDepth(from.hostname), innermostDepth(to.hostname)]);
  if (depths[there] > depths[here]) {
    throw new AttemptFailure(
      `${what} ${to.origin} is refused: a ${there} address named by a ${here} one`,
      "other",
    );
  }
  return here;
}

/** The URL that a redirect leads to. Undefined if the response isn't a redirect, or leads to what is not a URL. Pure. */
export function redirectTarget(status: number, location: string | undefined, from: URL): URL | undefined {
  if (!redirectStatuses.has(status) || location === undefined) return undefined;
  return URL.parse(location, from.href) ?? undefined;
}

/**
 * Whether a URL leads to the same server as another: to its origin, or to the same host with TLS added, at the same
 * port or from the default port to the default port. Another port of a host may be another's. Pure.
 */
export function isSameServer(from: URL, to: URL): boolean {
  const addsTls = from.protocol === "http:" && to.protocol === "https:" && from.hostname === to.hostname;
  return from.origin === to.origin || (addsTls && (from.port === to.port || portOf(from) === portOf(to)));
}

function portOf({ port, protocol }: URL): string {
  return port || (protocol === "https:" ? "443" : "80");
}

/**
 * Looks names up for connections, and refuses what lies further inside than the host may be. Other names, such as
 * a proxy's, are only looked up.
 */
export function lookupWithin(limit: Depth, { hostname: checked, origin }: URL): LookupFunction {
  return (hostname, options, answer) => {
    lookupWithCallback(hostname, { ...options, all: true }, (error, found) => {
      const inside =
        hostname === checked
          ? found?.map(({ address }) => depthOf(address)).find((depth) => depths[depth] > depths[limit])
          : undefined;
      const [first] = found ?? [];
      if (inside !== undefined) {
        const words = `${origin} is refused: its name leads to a ${inside} address now, and a ${limit} one named it`;
        answer(new AttemptFailure(words, "other"), []);
      } else if (options.all === true || error !== null || first === undefined) answer(error, found);
      else answer(null, first.address, first.family);
    });
  };
}

/**
 * The innermost depth of a host's addresses. A name that can't be looked up here counts as public: either a proxy
 * looks it up, or the request fails.
 */
async function innermostDepth(hostname: string): Promise<Depth> {
  const host = hostname.replace(/^\[|\]$/g, "");
  // RFC 6761 6.3: such a name is this machine's, whatever a resolver says.
  if (isIP(host) === 0 && /(^|\.)localhost\.?$/i.test(host)) return "local";
  const found = await lookup(host, { all: true }).catch(() => []);
  const all = found.map(({ address }) => depthOf(address));
  if (all.includes("local")) return "local";
  return all.includes("private") ? "private" : "public";
}
