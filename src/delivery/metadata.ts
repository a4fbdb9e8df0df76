import type { ImageConfig } from "../image/documents.ts";

/**
 * `metadata.json` beside a `rootfs/`. Concourse reads `env` and `user` if a task names the folder as its `image`;
 * `entrypoint`, `cmd` and `workdir` are for other tools. All fields are present, and empty if the image doesn't set
 * them.
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

/** `labels.json`: the image's labels, sorted by the UTF-16 code units of their names. */
export function imageLabels({ config }: ImageConfig): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(config.Labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
