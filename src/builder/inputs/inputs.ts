import type { AuthorNames } from "../../host/author-names.ts";
import type { Log } from "../../host/log.ts";
import type { Digest } from "../../image/digest.ts";
import type { BuildOptions, Strings } from "../plan/build-options.ts";
import type { InputFolder } from "./input-folder.ts";
import type { BuildPlatforms } from "./wanted-platforms.ts";

/** What is needed to find a build's inputs. */
export interface ResolveInputs {
  readonly options: BuildOptions;
  readonly folder: InputFolder;
  /** A private folder for files that have to be written: inline secrets, keys, Dockerfiles, blobs of image tars. */
  readonly workspace: string;
  /** The platforms for which image args and contexts are needed. */
  readonly platforms: BuildPlatforms;
  /** The step's own environment, which `secrets: {id: {env: NAME}}` reads. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What the author calls the params. */
  readonly names: AuthorNames;
  /** A folder to leave out of the context if it is inside it: a task's cache. */
  readonly excluded: string | undefined;
  readonly log: Pick<Log, "line" | "warn">;
  readonly signal: AbortSignal;
}

/**
 * The files and texts that a build's options name, found, read and checked. Every path is absolute and real, every
 * text is in memory, so that planning needs no disk access.
 */
export interface Inputs {
  readonly context: ContextInput;
  /** Undefined if the Dockerfile is in the git context. */
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
  /** A file with the source policy. */
  readonly policyFile: string | undefined;
  /** Files that hold one private key each. */
  readonly ssh: readonly { readonly id: string; readonly paths: readonly string[] }[];
}

export type ContextInput =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "git"; readonly url: string };

export interface DockerfileInput {
  /** Folder and file name, for BuildKit's `dockerfile` local and `filename` option. */
  readonly folder: string;
  readonly name: string;
  /** As the params name it, for messages. */
  readonly shown: string;
  readonly text: string;
}

/** An image on the disk: a folder with `blobs/`, and the digest of the manifest or index in it. */
export interface LayoutInput {
  readonly name: string;
  readonly layout: string;
  readonly digest: Digest;
}

export type NamedContext =
  | { readonly kind: "folder"; readonly name: string; readonly path: string }
  | ({ readonly kind: "layout" } & LayoutInput)
  /** A URL that BuildKit fetches: `docker-image://…`, git or http(s). */
  | { readonly kind: "remote"; readonly name: string; readonly url: string };
