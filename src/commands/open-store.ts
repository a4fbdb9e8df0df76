import type { StepContext } from "../host/step-context.ts";
import type { Repository } from "../image/reference.ts";
import { checkCertificates } from "../registry/check-certificates.ts";
import type { Source } from "../request/source.ts";
import type { Store } from "../store/store.ts";

/**
 * The one store that the source names. Only its own kind's modules are loaded: those of HTTP take Node a while.
 * @param also repositories that a put pushes to as well
 */
export async function openStore(
  source: Source,
  step: StepContext,
  also: readonly Repository[] = [],
): Promise<Store> {
  checkCertificates(source.registryAccess);
  const { store, registryAccess: access, timeouts } = source;
  if (store.kind === "directory") {
    const { openDirectoryStore } = await import("../store/directory/directory-store.ts");
    return openDirectoryStore(store);
  }
  const { openRegistryStore } = await import("../store/registry/registry-store.ts");
  return openRegistryStore({ ...store, also, access, timeouts, step });
}
