import type { ImageConfig } from "../image/documents.ts";

/**
 * `metadata.json` beside a `rootfs/`: Concourse reads `env` and `user` when a task names the folder as its `image`;
 * `entrypoint`, `cmd` and `workdir` are for other tools. All are there, empty where the image says nothing.
 */
export interface ImageMetadata {
  /** `NAME=value`. */
  readonly env: readonly string[];
  /** A name or number, perhaps with `:group`. */
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workdir: string;
}

export function imageMetadata({ config }: ImageConfig): ImageMetadata {
  return {
    env: config.Env,
    user: config.User,
    entrypoint: config.Entrypoint ?? [],
    cmd: config.Cmd ?? [],
    workdir: config.WorkingDir,
  };
}

/** `labels.json`: the image's labels, by name in the order of their code points. */
export function imageLabels({ config }: ImageConfig): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(config.Labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
