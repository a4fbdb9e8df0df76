import type { Repository } from "./reference.ts";

/** Where the result of one solve goes. A store names it, and the builder passes it to BuildKit's exporter. */
export type Exporter =
  /** BuildKit's `oci` exporter with `tar=false`: blobs and index.json in a new folder. */
  | { readonly kind: "layout"; readonly folder: string }
  /** BuildKit's `image` exporter. The daemon pushes straight to the registries, by digest and without a tag. */
  | { readonly kind: "push"; readonly destinations: readonly PushDestination[] };

export interface PushDestination {
  readonly repository: Repository;
  /** Whether plain HTTP and unverified TLS certificates are allowed. */
  readonly insecure: boolean;
}
