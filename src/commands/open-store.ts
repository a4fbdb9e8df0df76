import type { StepContext } from "../host/step-context.ts";
import type { Repository } from "../image/reference.ts";
import type { Source } from "../request/source.ts";
import type { Store } from "../store/store.ts";

/**
 * Opens the store that the source names. Only the modules of that kind of store are loaded, as Node takes a while
 * to load those for HTTP.
 * @param also further repositories that a put pushes to
 */
export async function openStore(
  source: Source,
  step: StepContext,
  also: readonly Repository[] = [],
): Promise<Store> {
  const { store, registryAccess: access, timeouts } = source;
  if (store.kind === "directory") {
    const { openDirectoryStore } = await import("../store/directory/directory-store.ts");
    return openDirectoryStore(store);
  }
  const { openRegistryStore } = await import("../store/registry/registry-store.ts");
  return openRegistryStore({ ...store, also, access, timeouts, step });
}
