import { mountsReference } from "../builder/cache-mounts/place.ts";
import type { CacheLocation, LayerCache } from "../builder/plan/layer-cache.ts";
import { formatReference } from "../image/reference.ts";
import { type ProbeOptions, probeRegistry } from "../registry/probe-registry.ts";

export interface ProbeCaches extends ProbeOptions {
  /** `BUILDKIT_CACHE_MOUNT_NS`, usually empty. It decides under which tag cache mounts are kept. */
  readonly namespace: string;
}

/**
 * Removes from the layer cache the places whose registry accepts a request and never answers, and warns about each.
 * BuildKit would wait for such a registry forever, and all other builds of that daemon with it. BuildKit can't be
 * stopped from looking there. If only the tag of the cache mounts isn't answered, the place is used for layers
 * alone.
 */
export async function responsiveCaches(cache: LayerCache, options: ProbeCaches): Promise<LayerCache> {
  const live = await Promise.all(cache.locations.map((location) => responsive(location, options)));
  return { ...cache, locations: live.flat() };
}

async function responsive(location: CacheLocation, options: ProbeCaches): Promise<CacheLocation[]> {
  const { reference } = location;
  if (reference === undefined) return [location];
  const mounts = mountsReference(location, options.namespace);
  const [silence, mountsSilence] = await Promise.all([
    probeRegistry(reference, options),
    mounts === undefined ? undefined : probeRegistry(mounts, options),
  ]);
  if (silence !== undefined) {
    options.step.log.warn(`layer cache ${formatReference(reference)} not used: ${silence}`);
    return [];
  }
  if (mounts === undefined || mountsSilence === undefined) return [location];
  options.step.log.warn(`saved cache mounts ${formatReference(mounts)} not used: ${mountsSilence}`);
  return [{ ...location, mounts: undefined }];
}
