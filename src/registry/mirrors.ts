import { UserError } from "../host/errors.ts";
import type { HostAccess } from "./access.ts";

/**
 * The hosts, with these mirrors added to one of them. They are asked before those that it has already.
 * @param mirrors `host[:port][/path]`, or a URL; `http://` marks its host as one without TLS
 * @param placeOf names one of them in errors: `source.registry_mirrors.0`
 * @throws UserError for a mirror that is neither
 */
export function withMirrors(
  hosts: ReadonlyMap<string, HostAccess>,
  host: string,
  mirrors: readonly string[],
  placeOf: (index: number) => string,
): ReadonlyMap<string, HostAccess> {
  if (mirrors.length === 0) return hosts;
  const all = new Map(hosts);
  const names = mirrors.map((mirror, index) => {
    const { name, address, isPlain } = parseMirror(mirror, placeOf(index));
    if (isPlain) all.set(address, { ...all.get(address), insecure: true });
    return name;
  });
  const known = all.get(host);
  return all.set(host, { ...known, mirrors: [...names, ...(known?.mirrors ?? [])] });
}

interface Mirror {
  /** Without a scheme, as BuildKit expects it: `mirror.example:5000/path`. */
  readonly name: string;
  /** `mirror.example:5000` */
  readonly address: string;
  /** Reached by plain http. */
  readonly isPlain: boolean;
}

function parseMirror(mirror: string, subject: string): Mirror {
  const [, scheme = "https", rest = mirror] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(mirror) ?? [];
  const name = rest.replace(/\/+$/, "");
  const [address = ""] = name.split("/");
  // The mirror isn't shown, since it may hold a password.
  const isUsable = /^https?$/i.test(scheme) && /^[^\s@?#]+$/.test(name) && address !== "";
  if (!isUsable || !URL.canParse(`https://${address}`)) {
    throw new UserError(
      `${subject}: not a mirror; expected host[:port][/path] or a URL, http:// or https://, without a login: username and password are given for its host among the registries`,
    );
  }
  return { name, address, isPlain: scheme.toLowerCase() === "http" };
}
