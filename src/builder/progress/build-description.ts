/** The Dockerfile of the build, to name it as the author does. */
export interface ShownDockerfile {
  /** As the params name it. */
  readonly name: string;
  readonly text: string;
}

/** A build context on this disk. It is looked at only when a build has failed. */
export interface ShownContext {
  /** As the params name it. */
  readonly name: string;
  /** Whether the folder holds this path, whatever its ignore file says. */
  holds(path: string): boolean;
  /** The names in one of its folders; none where there is no such folder. */
  list(folder: string): readonly string[];
  /** The ignore file that counts, as the params would name it, and its text; undefined where there is none. */
  ignoreFile(): { readonly name: string; readonly text: string } | undefined;
}

/** What is known of a build that failed, for its message. */
export interface BuildDescription {
  readonly dockerfile?: ShownDockerfile | undefined;
  /** Undefined for a git context. */
  readonly context?: ShownContext | undefined;
  /** Whether the author gave credentials for a registry host. */
  readonly hasLogin?: (host: string) => boolean;
}

/** The names of a Dockerfile's stages. */
export function stagesOf({ dockerfile }: BuildDescription): readonly string[] {
  const lines = (dockerfile?.text ?? "").split("\n");
  return lines.flatMap((line) => /^\s*FROM\s.*\sAS\s+(\S+)\s*$/i.exec(line)?.[1] ?? []);
}

/** The stages, as the end of a message. */
export function stageList(build: BuildDescription): string {
  const stages = stagesOf(build);
  return stages.length > 0
    ? `the Dockerfile's stages: ${stages.join(", ")}`
    : "the Dockerfile names no stage";
}
