import type { AuthorNames } from "../../host/author-names.ts";
import type { SourcePolicy } from "../plan/source-policy.ts";

/** The Dockerfile of the build, by the author's name for it. */
export interface ShownDockerfile {
  /** As the params name it. */
  readonly name: string;
  readonly text: string;
}

/** A build context on this disk. It is only read after a build has failed. */
export interface ShownContext {
  /** As the params name it. */
  readonly name: string;
  /** Whether the folder contains this path, even if the ignore file excludes it. */
  holds(path: string): boolean;
  /** The names in one of its folders; undefined if it can't be read. */
  list(folder: string): readonly string[] | undefined;
  /** The ignore file that BuildKit uses, by its name in the params, and its text. Undefined if there is none. */
  ignoreFile(): { readonly name: string; readonly text: string } | undefined;
}

/** Facts about a build, for the message if it fails. */
export interface BuildDescription {
  /** What the author calls the params and the fields of registries. */
  readonly names: AuthorNames;
  readonly dockerfile?: ShownDockerfile | undefined;
  /** Undefined for a git context. */
  readonly context?: ShownContext | undefined;
  readonly sourcePolicy?: SourcePolicy | undefined;
  /** Whether the author gave credentials for a registry host. */
  readonly hasLogin?: (host: string) => boolean;
  /** The ids of the secrets and SSH keys that the build gets. */
  readonly given?: { readonly secrets: readonly string[]; readonly ssh: readonly string[] };
  /** Whether the daemon, and the programs of RUNs, have this step's limits of processes, files and memory. */
  readonly limits?: { readonly ofDaemon: boolean; readonly ofPrograms: boolean };
  /** Whether layers may come from a layer cache. */
  readonly usesLayerCache?: boolean;
}

/** The names of a Dockerfile's stages. */
export function stagesOf({ dockerfile }: BuildDescription): readonly string[] {
  const lines = (dockerfile?.text ?? "").split("\n");
  return lines.flatMap((line) => /^\s*FROM\s.*\sAS\s+(\S+)\s*$/i.exec(line)?.[1] ?? []);
}

/** The stages, as the end of an error message. */
export function stageList(build: BuildDescription): string {
  if (build.dockerfile === undefined) return "look for its name in the Dockerfile of the git repository";
  const stages = stagesOf(build);
  return stages.length > 0
    ? `the Dockerfile's stages: ${stages.join(", ")}`
    : "the Dockerfile names no stage";
}
