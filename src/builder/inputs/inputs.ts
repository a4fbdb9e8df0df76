import type { Digest } from "../../image/digest.ts";
import type { Strings } from "../plan/build-options.ts";

/**
 * What a build's options name, found, read and checked: every path is absolute and real, every text is in
 * memory. From here on planning needs no disk.
 */
export interface Inputs {
  readonly context: ContextInput;
  /** Undefined: the Dockerfile lies in the git context. */
  readonly dockerfile: DockerfileInput | undefined;
  /** Name of the Dockerfile inside a git context. */
  readonly gitDockerfile: string | undefined;
  readonly buildArgs: Strings;
  readonly labels: Strings;
  readonly target: string | undefined;
  readonly imageArgs: readonly LayoutInput[];
  readonly contexts: readonly NamedContext[];
  /** Files that hold one secret each. */
  readonly secrets: readonly { readonly id: string; readonly file: string }[];
  /** Files that hold one private key each. */
  readonly ssh: readonly { readonly id: string; readonly paths: readonly string[] }[];
}

export type ContextInput =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "git"; readonly url: string };

export interface DockerfileInput {
  /** Folder and file name, as BuildKit's `dockerfile` local and `filename` option take them. */
  readonly folder: string;
  readonly name: string;
  /** As the params name it, for messages. */
  readonly shown: string;
  readonly text: string;
}

/** An image on the disk: a folder with `blobs/`, and the manifest or index in it. */
export interface LayoutInput {
  readonly name: string;
  readonly layout: string;
  readonly digest: Digest;
}

export type NamedContext =
  | { readonly kind: "folder"; readonly name: string; readonly path: string }
  | ({ readonly kind: "layout" } & LayoutInput)
  /** `docker-image://…`, a git or an http(s) URL: BuildKit fetches it. */
  | { readonly kind: "remote"; readonly name: string; readonly url: string };
