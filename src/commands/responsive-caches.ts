import type { CacheLocation, LayerCache } from "../builder/plan/layer-cache.ts";
import { formatReference } from "../image/reference.ts";
import { type ProbeOptions, probeRegistry } from "../registry/probe-registry.ts";

/**
 * Removes from the layer cache the places whose registry accepts a request and never answers, and warns about each.
 * BuildKit would wait for such a registry forever, and all other builds of that daemon with it. BuildKit can't be
 * stopped from looking there.
 */
export async function responsiveCaches(cache: LayerCache, options: ProbeOptions): Promise<LayerCache> {
  const live = await Promise.all(
    cache.locations.map(async (location): Promise<CacheLocation[]> => {
      const { reference } = location;
      if (reference === undefined) return [location];
      const silence = await probeRegistry(reference, options);
      if (silence === undefined) return [location];
      options.step.log.warn(`layer cache ${formatReference(reference)} not used: ${silence}`);
      return [];
    }),
  );
  return { ...cache, locations: live.flat() };
}
