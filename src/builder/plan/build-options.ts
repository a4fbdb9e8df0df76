import type { Platform } from "../../image/descriptor.ts";
import type { TargetName } from "../../image/target-name.ts";
import type { SourcePolicy } from "./source-policy.ts";

/**
 * The parsed options of a build, from a put's params or a task's environment: one field for each param that the
 * build itself reads. Paths are relative to the inputs' folder and have not been checked yet.
 */
export interface BuildOptions {
  /** A folder, or a git URL. */
  readonly context: string;
  /** Default: `Dockerfile` in the context. */
  readonly dockerfile: string | undefined;
  readonly dockerfileInline: string | undefined;
  readonly buildArgs: Strings;
  readonly buildArgsFile: string | undefined;
  readonly labels: Strings;
  /** Whether Concourse's variables in build args, labels and annotations are replaced. */
  readonly expand: boolean;
  readonly labelsFile: string | undefined;
  /** Whether to add labels from the commit that the context is a checkout of. */
  readonly gitLabels: boolean;
  /** The version that the image is tagged with. */
  readonly version: string | undefined;
  readonly target: string | undefined;
  readonly targetFile: string | undefined;
  readonly additionalTargets: readonly TargetName[];
  /** Build arg name → path of a docker save tar, an OCI layout folder, or the folder of a get. */
  readonly imageArgs: Strings;
  /** Context name → folder, image layout, `docker-image://` reference or git URL. */
  readonly contexts: Strings;
  /** Empty for the daemon's own platform. */
  readonly platforms: readonly Platform[];
  readonly secrets: Readonly<Record<string, SecretSource>>;
  readonly ssh: Readonly<Record<string, readonly SshSource[]>>;
  /** Host name → IP addresses. */
  readonly addHosts: Readonly<Record<string, readonly string[]>>;
  readonly registryMirrors: readonly string[];
  /** TOML, merged into the local daemon's configuration. */
  readonly buildkitExtraConfig: string | undefined;
  /** Ignore the cache for all steps, or for those of the named stages. */
  readonly noCache: boolean | readonly string[];
  readonly pull: boolean;
  readonly network: "default" | "none" | "host";
  /** Bytes. */
  readonly shmSize: number | undefined;
  /** `nofile` → `1024:2048`. */
  readonly ulimits: Strings;
  readonly allow: readonly Entitlement[];
  readonly annotations: Strings;
  /** Attestations, off by default: they turn a manifest into an index, which breaks some consumers. */
  readonly provenance: false | "min" | "max";
  readonly sbom: boolean | { readonly generator: string };
  readonly compression: CompressionOptions | undefined;
  /** Seconds since the epoch; also rewrites the times in layers. */
  readonly sourceDateEpoch: number | undefined;
  readonly failOnWarnings: boolean;
  /** What the build may fetch. */
  readonly sourcePolicy: SourcePolicy | undefined;
  /** More options of the frontend, by name. None of them is set by another field. */
  readonly frontendOptions: Strings;
  readonly progress: "steps" | "plain";
}

export type Strings = Readonly<Record<string, string>>;
export type SecretSource = { readonly file: string } | { readonly text: string } | { readonly env: string };
/** A private key file, or the key itself. */
export type SshSource = { readonly path: string } | { readonly key: string };
export type Entitlement = "network.host" | "security.insecure" | "device";
export interface CompressionOptions {
  readonly type: "gzip" | "zstd" | "estargz" | "uncompressed";
  readonly level: number | undefined;
  /** Also recompress the layers of base images. */
  readonly force: boolean;
}
