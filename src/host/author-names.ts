/** The params that messages name for puts and for tasks alike, by a put's names. */
export type NamedParam =
  | "add_hosts"
  | "additional_targets"
  | "allow"
  | "annotations"
  | "build_args"
  | "build_args_file"
  | "buildkit_extra_config"
  | "context"
  | "dockerfile"
  | "dockerfile_inline"
  | "fail_on_warnings"
  | "image_args"
  | "labels"
  | "labels_file"
  | "options"
  | "output_oci"
  | "platforms"
  | "registry_mirrors"
  | "secrets"
  | "source_policy"
  | "ssh"
  | "target"
  | "target_file"
  | "unpack_rootfs"
  | "version"
  | "version_file";

/**
 * What a step's author calls the things that messages are about: a put's params and fields of its source, or a task's
 * variables. A command hands its own to all that makes messages. So no finished message has to be searched for names:
 * it may quote what only looks like one.
 */
export interface AuthorNames {
  readonly kind: "put" | "task";
  /** A param, or a part of it: `build_args.VERSION`, `BUILD_ARG_VERSION`. */
  readonly param: (name: NamedParam, ...part: readonly PropertyKey[]) => string;
  /** A param in advice: `"build_args"`, `BUILD_ARG_*`. */
  readonly quoted: (name: NamedParam) => string;
  /** A param by its name alone, or undefined if this author can't give it. */
  readonly own: (name: string) => string | undefined;
  /** Where a fault of a request is: `params.platforms.1`, `IMAGE_PLATFORM, item 2`. */
  readonly place: (path: readonly PropertyKey[]) => string;
  /** A message about several params, each of which it names. */
  readonly among: (message: string) => string;
  /** How a secret's text is given: `secrets: {npm: {text: …}}`, `BUILDKIT_SECRETTEXT_npm: …`. */
  readonly secretText: (id: string) => string;
  /** The same with the other ways to give a secret. */
  readonly secret: (id: string) => string;
  /** How a private key is given: `"ssh: {default: …}"`, `BUILDKIT_SSH: default=path`. */
  readonly sshKey: (id: string) => string;
  /** Where the fields of a registry are, after its name: `under "registries" in the source`. */
  readonly registries: string;
}

/** The names of a put's author. */
export const namesOfPut: AuthorNames = {
  kind: "put",
  param: (...path) => path.map(String).join("."),
  quoted: (name) => JSON.stringify(name),
  own: (name) => name,
  place: (path) => ["params", ...path.map(String)].join("."),
  among: (message) => `params: ${message}`,
  secretText: (id) => `secrets: {${id}: {text: …}}`,
  secret: (id) => `"secrets: {${id}: {text: …}}" (or file, or env)`,
  sshKey: (id) => `"ssh: {${id}: …}"`,
  registries: 'under "registries" in the source',
};
