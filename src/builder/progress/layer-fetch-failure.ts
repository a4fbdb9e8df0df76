import type { BuildDescription } from "./build-description.ts";
import { neededLayer } from "./unpack-failure.ts";

/** What BuildKit says of a layer that it fetches when a step, the push or another compression needs it. */
const fetching =
  /^(?:failed to compute cache key: |failed to push \S+: |failed to ensure compression type of "\w+": failed to convert: )failed to copy: httpReadSeeker: failed open: (.*)$/s;

/** Where a registry keeps its blobs (distribution-spec). */
const ofRegistry = /^https?:\/\/[^/]+\/v2\//;

/**
 * Explains that a layer can't be fetched though its image's manifest was, and what to change. Returns undefined for any
 * other failure. Pure.
 */
export function explainLayerFetch(reason: string, build: BuildDescription): string | undefined {
  const [, why] = fetching.exec(reason) ?? [];
  if (why === undefined) return undefined;
  const layer = neededLayer(build);
  const [, digest, type = ""] =
    /could not fetch content descriptor (\S+) \((\S+)\) from remote: not found$/.exec(why) ?? [];
  if (digest !== undefined)
    return isOutside(type)
      ? `${layer} can't be fetched: ${digest} is kept outside registries (${type}), and the URLs that its manifest names don't have it; ${wholeBase}`
      : `${layer} can't be fetched: its registry has no ${digest}, though the image's manifest names it, nor do URLs that the manifest may name have it; push the base again with all its layers, or name another in FROM`;
  const [, asked = "", said = ""] = /^failed to do request: \w+ "([^"]+)": (.*)$/s.exec(why) ?? [];
  if (asked !== "" && !ofRegistry.test(asked))
    return `${layer} can't be fetched: it is kept at ${asked}, to which the image's manifest or the registry leads, and which BuildKit can't reach (${said}): let BuildKit reach that host; or ${wholeBase}`;
  const [, url, status = ""] =
    /^unexpected status (?:code|from \w+ request to) (\S+): (.*)$/s.exec(why) ?? [];
  if (url !== undefined)
    return `${layer} can't be fetched: ${url} answers ${status}; check that this user may pull the image, or run the step again later`;
  return `${layer} can't be fetched (${said || why}): check that BuildKit can reach the registry, or run the step again later`;
}

function isOutside(type: string): boolean {
  return /\bforeign\b|\bnondistributable\b/.test(type);
}

const wholeBase = "use a copy of the base that has all its layers, or name another in FROM";
