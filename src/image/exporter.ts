import type { Repository } from "./reference.ts";

/** Where the result of one solve goes. A store names it, the builder hands it to BuildKit's exporter. */
export type Exporter =
  /** BuildKit's `oci` exporter with `tar=false`: blobs and index.json in a fresh folder. */
  | { readonly kind: "layout"; readonly folder: string }
  /** BuildKit's `image` exporter: pushed by digest, without a tag, from the daemon straight to the registries. */
  | { readonly kind: "push"; readonly destinations: readonly PushDestination[] };

export interface PushDestination {
  readonly repository: Repository;
  /** Reached by plain http, or unchecked. */
  readonly insecure: boolean;
}
