import { BlockList, isIP, isIPv6 } from "node:net";
import { domainToASCII } from "node:url";
import { orNone } from "../host/or-none.ts";
import type { Environment } from "../host/step-context.ts";
import { familyOf, withoutMapping } from "./redirect-policy.ts";
import { AttemptFailure } from "./registry-error.ts";

/**
 * The proxy for a URL, or undefined if none is used. The variables have the meaning that they have in Go
 * (golang.org/x/net/http/httpproxy), and so in BuildKit: both take the same way to a registry. Node itself reads
 * `NO_PROXY` in another way, and ignores a proxy without a scheme.
 * @throws AttemptFailure if the variable names no proxy that can be used
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  const given = proxyVariable(env, name);
  if (given === "" || isExempt(url, proxyVariable(env, "NO_PROXY"))) return undefined;
  const proxy = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(given) ? given : `http://${given}`);
  if (proxy === null) throw new AttemptFailure(`${name} is not the URL of a proxy`, "proxy");
  const fault = loginFault(proxy);
  if (fault !== undefined) throw new AttemptFailure(`${name} has ${fault}`, "proxy");
  if (proxy.protocol === "http:" || proxy.protocol === "https:") return proxy;
  throw new AttemptFailure(
    `${name} names a proxy for ${proxy.protocol}//, which can't be used here; expected http:// or https://`,
    "proxy",
  );
}

/** What is wrong with a proxy's login, without showing it. Node decodes it, and Go does. */
function loginFault({ username, password }: URL): string | undefined {
  const login = `${username}:${password}`;
  if (/%(?![0-9a-f]{2})/i.test(login)) return 'a "%" in its login that begins no escape; write it as %25';
  if (orNone(() => decodeURIComponent(login)) === undefined)
    return "an escape in its login that is not UTF-8; expected the escapes of UTF-8";
  return undefined;
}

/** A variable in upper or lower case; upper case counts first. */
function proxyVariable(env: Environment, name: string): string {
  return env[name] || env[name.toLowerCase()] || "";
}

/** Whether `NO_PROXY` names the host of a URL, or the host is this machine. */
function isExempt(url: URL, list: string): boolean {
  const host = withoutMapping(url.hostname.replace(/^\[|\]$/g, "").toLowerCase());
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  if (host === "localhost" || isInNetwork(host, "127.0.0.0/8") || isInNetwork(host, "::1/128")) return true;
  return list
    .toLowerCase()
    .split(",")
    .map((entry) => entry.trim())
    .some((entry) => entry === "*" || isInNetwork(host, entry) || namesHost({ host, port }, entry));
}

/** Whether an address is in a network: `10.0.0.0/8`. An IPv4 network may be written as an IPv6 one. */
function isInNetwork(host: string, network: string): boolean {
  const [, written = "", bits = ""] = /^([^/]+)\/(\d{1,3})$/.exec(network) ?? [];
  if (Number(bits) > (isIPv6(written) ? 128 : 32)) return false;
  const isMapped = Number(bits) >= 96 && withoutMapping(written) !== written;
  const [address, length] = isMapped ? [withoutMapping(written), Number(bits) - 96] : [written, Number(bits)];
  if (isIP(address) === 0 || isIP(host) !== isIP(address)) return false;
  const list = new BlockList();
  list.addSubnet(address, length, familyOf(address));
  return list.check(host, familyOf(host));
}

/** Whether two addresses are the same one: each may be written in several ways. */
function isAddress(host: string, address: string): boolean {
  const list = new BlockList();
  list.addAddress(address, familyOf(address));
  return list.check(host, familyOf(host));
}

/** An entry is a host, an address, or a domain with the hosts below it, each perhaps with a port. */
function namesHost({ host, port }: { host: string; port: string }, entry: string): boolean {
  const [, named = "", only] = /^(\[[^\]]*\]|[^:]*):(\w*)$/.exec(entry) ?? [undefined, entry];
  if (only !== undefined && only !== "" && only !== port) return false;
  // As in Go, brackets need a port behind them.
  const plain = only === undefined ? named : named.replace(/^\[(.*)\]$/, "$1");
  if (plain === "") return false;
  // Only a domain names hosts by their ends, and only an address an address.
  if (isIP(host) !== 0) return isIP(plain) !== 0 && isAddress(host, withoutMapping(plain));
  const domain = asciiDomain(plain.replace(/^\*(?=\.)/, ""));
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

/** The domain as URLs have it: `xn--bcher-kva.example` for `bücher.example`. */
function asciiDomain(domain: string): string {
  // Text that is ASCII already would be changed if it looks like a number.
  return /\P{ASCII}/u.test(domain) ? domainToASCII(domain) || domain : domain;
}
