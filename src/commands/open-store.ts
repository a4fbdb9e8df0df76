import { UserError } from "../host/errors.ts";
import type { Host } from "../host/host.ts";
import { checkCertificates } from "../image/certificates.ts";
import type { Source } from "../request/source.ts";
import { openDirectoryStore } from "../store/directory/directory-store.ts";
import { openRegistryStore } from "../store/registry/registry-store.ts";
import type { Store } from "../store/store.ts";

/** The one store that the source names. */
export async function openStore(source: Source, host: Host): Promise<Store> {
  checkCertificates(source.registryAccess);
  if (source.directory !== undefined)
    return openDirectoryStore({ directory: source.directory, keep: source.keep });
  if (source.repository !== undefined) {
    return openRegistryStore({
      repository: source.repository,
      access: source.registryAccess,
      limits: source.patience,
      host,
    });
  }
  throw new UserError("source: expected repository or directory");
}
