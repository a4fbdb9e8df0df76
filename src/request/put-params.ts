import * as z from "zod";
import type { AuthorNames, NamedParam } from "../host/author-names.ts";
import { platformPattern } from "../image/platform.ts";
import { targetNamePattern } from "../image/target-name.ts";
import type { Fault } from "./faults.ts";
import type { Advise } from "./foreign-names.ts";
import { optionNamePattern, whyNotOption } from "./option-names.ts";
import { fieldRules } from "./param-rules.ts";
import {
  additionalTargets,
  annotationName,
  compression,
  contextName,
  epoch,
  frontendOptionsParam,
  hostName,
  imageName,
  ipAddresses,
  platform,
  repositoryName,
  secretSource,
  ssh,
  stageName,
  tagsFiles,
  ulimit,
} from "./param-values.ts";
import { type PartlyRead, readPartly } from "./read-json.ts";
import {
  argName,
  argNamePattern,
  bytes,
  exactText,
  flag,
  id,
  idPattern,
  labelName,
  labelNamePattern,
  nonEmpty,
  text,
} from "./scalars.ts";
import { secret } from "./schema-parts.ts";
import { policySource, sourcePolicyParam } from "./source-policy.ts";
import {
  boolean,
  commaList,
  hostPairs,
  pathOrMap,
  plain,
  prefix,
  something,
  sshPairs,
  type TaskForm,
  whole,
  wholeMap,
} from "./task-syntax.ts";

/** One param: its schema, the oci-build task's names for it, and its documentation. */
interface ParamRow {
  readonly schema: z.ZodType;
  readonly upper: readonly TaskForm[];
  readonly doc: string;
}

/**
 * Every param of a put and of the task, in the order of the documentation. Schemas, upper-case forms and
 * documentation are all derived from this table.
 */
export const putParams = {
  context: {
    schema: secret(nonEmpty).default("."),
    upper: [whole("CONTEXT")],
    doc: "Folder with the build context, or a git URL. Default: the put's folder. If the URL holds a login, a Dockerfile from that repository can read it, as the secret `GIT_AUTH_HEADER.host` (docs/secrets.md).",
  },
  dockerfile: {
    schema: nonEmpty.optional(),
    upper: [whole("DOCKERFILE")],
    doc: "Path of the Dockerfile. Default: `Dockerfile` in the context.",
  },
  dockerfile_inline: {
    schema: secret(nonEmpty).optional(),
    upper: [],
    doc: "The Dockerfile itself, instead of a path.",
  },
  build_args: {
    schema: secret(z.record(argName, text)).default({}),
    upper: [prefix("BUILD_ARG_", plain, argNamePattern), wholeMap("BUILD_ARGS")],
    doc: "Build args, by name.",
  },
  build_args_file: {
    schema: nonEmpty.optional(),
    upper: [whole("BUILD_ARGS_FILE")],
    doc: "File with one `name=value` a line, a YAML map if its name ends in `.yml`, `.yaml` or `.json`, or a JSON object (docs/build-args.md). `build_args` win.",
  },
  labels: {
    schema: secret(z.record(labelName, text)).default({}),
    upper: [prefix("LABEL_", plain, labelNamePattern), wholeMap("LABELS")],
    doc: "Image labels, by name.",
  },
  labels_file: {
    schema: nonEmpty.optional(),
    upper: [whole("LABELS_FILE")],
    doc: "File with one `name=value` a line, or a map, as with `build_args_file`. `labels` win.",
  },
  git_labels: {
    schema: flag.default(false),
    upper: [],
    doc: "Label the image with `org.opencontainers.image.revision`, `.source` and `.created` of the git checkout that the context lies in, and with `.version` if `version` is given. `labels` win.",
  },
  expand: {
    schema: flag.default(false),
    upper: [],
    doc: "Replace Concourse's variables (`$BUILD_ID`, `$BUILD_NAME` …) in the values of `build_args`, `labels` and `annotations` (docs/build-args.md lists them).",
  },
  target: {
    schema: nonEmpty.optional(),
    upper: [whole("TARGET")],
    doc: "Build stage to build. Default: the last.",
  },
  target_file: {
    schema: nonEmpty.optional(),
    upper: [whole("TARGET_FILE")],
    doc: "File that holds the name of the build stage.",
  },
  additional_targets: {
    schema: additionalTargets.prefault([]),
    upper: [whole("ADDITIONAL_TARGETS", commaList(targetNamePattern))],
    doc: "More build stages to build at the same time, each delivered into a folder of its name. A list, or a map that gives them tags: `{test: {tags: [test-1]}}`.",
  },
  image_args: {
    schema: secret(z.record(argName, nonEmpty)).default({}),
    upper: [prefix("IMAGE_ARG_", something, argNamePattern), wholeMap("IMAGE_ARGS")],
    doc: "Images of the inputs for `FROM $name`, by build arg: path of an archive of `docker save`, of an OCI layout, or of the folder of a get (docs/base-images.md).",
  },
  contexts: {
    schema: secret(z.record(contextName, nonEmpty)).default({}),
    upper: [],
    doc: "What names in FROM and `COPY --from` stand for: a folder, an image of the inputs, a `docker-image://` reference or a git URL (docs/base-images.md).",
  },
  platforms: {
    schema: z.array(platform).prefault([]),
    upper: [whole("IMAGE_PLATFORM", commaList(platformPattern))],
    doc: "Platforms to build for. Several give an index, delivered as an OCI layout (docs/platforms.md).",
  },
  secrets: {
    schema: secret(z.record(id, secretSource)).default({}),
    upper: [
      prefix("BUILDKIT_SECRETTEXT_", { read: (given) => ({ text: given }) }, idPattern),
      prefix("BUILDKIT_SECRET_", { ...something, read: (given) => ({ file: given }) }, idPattern),
    ],
    doc: "Secrets for `RUN --mount=type=secret`, by id: `{file: path}`, `{text: …}` or `{env: NAME}`. An id may be `.npmrc` or `GIT_AUTH_TOKEN.host:8443` (docs/secrets.md).",
  },
  ssh: {
    schema: secret(z.record(id, ssh)).default({}),
    upper: [whole("BUILDKIT_SSH", sshPairs)],
    doc: "Private keys for `RUN --mount=type=ssh`, by id: a path, the key itself, or a list of these (docs/secrets.md).",
  },
  add_hosts: {
    schema: z.record(hostName, ipAddresses).default({}),
    upper: [whole("BUILDKIT_ADD_HOSTS", hostPairs)],
    doc: "Host names and their IP addresses (one, or a list), for RUN.",
  },
  registry_mirrors: {
    schema: secret(z.array(nonEmpty)).default([]),
    upper: [whole("REGISTRY_MIRRORS", commaList("[^\\s,]+"))],
    doc: "Mirrors of docker.io, asked first.",
  },
  buildkit_extra_config: {
    schema: secret(z.string()).optional(),
    upper: [whole("BUILDKIT_EXTRA_CONFIG")],
    doc: "TOML that is merged into the configuration of the step's own BuildKit.",
  },
  unpack_rootfs: {
    schema: flag.default(false),
    upper: [whole("UNPACK_ROOTFS", boolean)],
    doc: "Also deliver `rootfs/`, the unpacked root filesystem, for a task's `image:`.",
  },
  output_oci: {
    schema: flag.default(false),
    upper: [whole("OUTPUT_OCI", boolean)],
    doc: "Deliver `image/`, an OCI layout, instead of `image.tar`.",
  },
  no_cache: {
    schema: z
      .union([flag, z.array(stageName)], {
        error: "expected true, false, or a list of stages",
      })
      .default(false),
    upper: [],
    doc: "Don't use cached results: for all steps, or those of the listed stages.",
  },
  pull: {
    schema: flag.default(false),
    upper: [],
    doc: "Ask the registry for base images again, even if BuildKit knows their tags.",
  },
  network: {
    schema: z.enum(["default", "none", "host"]).default("default"),
    upper: [],
    doc: "Network of RUN steps. `host` also needs `allow: [network.host]`, `none` a container that allows it (docs/without-privileges.md).",
  },
  shm_size: { schema: bytes.optional(), upper: [], doc: "Size of `/dev/shm` in RUN steps: bytes, or `64m`." },
  ulimits: {
    schema: z
      .record(z.string().regex(/^[a-z]+$/, { error: "expected the name of a limit, as in nofile" }), ulimit)
      .default({}),
    upper: [],
    doc: 'Limits of RUN steps: `{nofile: "1024:2048"}`.',
  },
  allow: {
    schema: z.array(z.enum(["network.host", "security.insecure", "device"])).default([]),
    upper: [],
    doc: "Entitlements that the Dockerfile may use: `network.host`, `security.insecure`, `device`.",
  },
  annotations: {
    schema: secret(z.record(annotationName, text)).default({}),
    upper: [],
    doc: "Annotations of the image's manifest; `index:name` for one of the index of several platforms.",
  },
  provenance: {
    schema: z
      .union([z.literal(false), z.enum(["min", "max"]), z.literal(true).transform(() => "min" as const)], {
        error: "expected false, min or max",
      })
      .default(false),
    upper: [],
    doc: "Attach a provenance attestation: `min` (or `true`), or `max`. The image becomes an index, which some consumers can't read.",
  },
  sbom: {
    schema: z
      .union([flag, z.strictObject({ generator: imageName })], {
        error: "expected true, false, or {generator: image}",
      })
      .default(false),
    upper: [],
    doc: "Attach an SBOM attestation: `true`, or `{generator: image}` to choose the scanner.",
  },
  compression: {
    schema: compression.optional(),
    upper: [],
    doc: "Compression of the layers: `gzip` (default), `zstd`, `estargz`, `uncompressed`, or `{type, level, force}`.",
  },
  source_date_epoch: {
    schema: epoch.optional(),
    upper: [],
    doc: "Seconds since 1970: no time in the image is later.",
  },
  reproducible: { schema: flag.default(false), upper: [], doc: "The same as `source_date_epoch: 0`." },
  fail_on_warnings: {
    schema: flag.default(false),
    upper: [whole("FAIL_ON_WARNINGS", boolean)],
    doc: "Fail when BuildKit's checks warn about the Dockerfile.",
  },
  source_policy: {
    schema: sourcePolicyParam.optional(),
    upper: [whole("SOURCE_POLICY", pathOrMap)],
    doc: "Rules that pin or forbid base images and other sources: path of a file with a source policy of BuildKit, or the policy itself (docs/base-images.md).",
  },
  options: {
    schema: secret(frontendOptionsParam).default({}),
    upper: [prefix("BUILDKIT_OPTION_", plain, optionNamePattern), wholeMap("BUILDKIT_OPTIONS")],
    doc: "Options of BuildKit's Dockerfile frontend that have no param here, by name: `{hostname: build, memory: 2g}` (docs/build-args.md).",
  },
  progress: {
    schema: z.enum(["steps", "plain"]).default("steps"),
    upper: [],
    doc: "`plain`: log everything that BuildKit does, as `buildctl --progress=plain` shows it.",
  },
  tags: {
    schema: z.array(exactText).default([]),
    upper: [],
    doc: "Tags to point at the image. No other tag moves: `[latest]`.",
  },
  tags_file: {
    schema: tagsFiles.prefault([]),
    upper: [],
    doc: "File with more tags, separated by white space. Or a list of files, each with its own prefix: `[{file: info/tags, prefix: v}]`.",
  },
  tag_prefix: {
    schema: text.optional(),
    upper: [],
    doc: "Prefix of `version`, of its numbered aliases, and of the tags of a `tags_file` without its own prefix: `v`.",
  },
  version: {
    schema: exactText.optional(),
    upper: [],
    doc: 'Semantic version to tag the image with: `1.2.3`. `"1.2"` becomes the tag `1.2.0`, and `v1.2.3` loses its `v`.',
  },
  version_file: {
    schema: nonEmpty.optional(),
    upper: [],
    doc: "File that holds the `version`.",
  },
  also: {
    schema: z.array(repositoryName).default([]),
    upper: [],
    doc: "More repositories to push the image to, with the same tags: `[registry.example/other/app]`. On the same host they use the credentials of `repository`, elsewhere those of `registries`.",
  },
  bump_aliases: {
    schema: flag.default(false),
    upper: [],
    doc: "Also move `1.2`, `1` and `latest` to the image. An alias stays where it is if the repository has a newer version for it. Not for a prerelease.",
  },
  variant: {
    schema: text.optional(),
    upper: [],
    doc: "Suffix of `version` and its aliases: `1.2.3-alpine`, `1.2-alpine`, `1-alpine`, `alpine`. Default: the source's.",
  },
} as const satisfies Record<string, ParamRow> & Record<NamedParam, ParamRow>;

type Rows = typeof putParams;

/** The upper-case forms of each param. */
export const taskForms: Readonly<Record<string, readonly TaskForm[]>> = Object.fromEntries(
  Object.entries(putParams).map(([name, { upper }]) => [name, upper]),
);

const shape = Object.fromEntries(Object.entries(putParams).map(([name, { schema }]) => [name, schema])) as {
  readonly [K in keyof Rows]: Rows[K]["schema"];
};

const PutFields = z.strictObject(shape);
type PutFields = z.output<typeof PutFields>;

/** Renames what was read to what the code uses. */
function toPutParams(given: PutFields) {
  return {
    context: given.context,
    dockerfile: given.dockerfile,
    dockerfileInline: given.dockerfile_inline,
    buildArgs: given.build_args,
    expand: given.expand,
    buildArgsFile: given.build_args_file,
    labels: given.labels,
    labelsFile: given.labels_file,
    gitLabels: given.git_labels,
    target: given.target,
    targetFile: given.target_file,
    additionalTargets: [...given.additional_targets.keys()],
    /** Tags by the name of the additional target. */
    targetTags: given.additional_targets,
    imageArgs: given.image_args,
    contexts: given.contexts,
    platforms: given.platforms,
    secrets: given.secrets,
    ssh: given.ssh,
    addHosts: given.add_hosts,
    registryMirrors: given.registry_mirrors,
    buildkitExtraConfig: given.buildkit_extra_config,
    unpackRootfs: given.unpack_rootfs,
    outputOci: given.output_oci,
    noCache: given.no_cache,
    pull: given.pull,
    network: given.network,
    shmSize: given.shm_size,
    ulimits: given.ulimits,
    allow: given.allow,
    annotations: given.annotations,
    provenance: given.provenance,
    sbom: given.sbom,
    compression: given.compression,
    sourceDateEpoch: given.source_date_epoch ?? (given.reproducible ? 0 : undefined),
    failOnWarnings: given.fail_on_warnings,
    sourcePolicy: given.source_policy === undefined ? undefined : policySource(given.source_policy),
    frontendOptions: given.options,
    progress: given.progress,
    tags: given.tags,
    tagsFiles: given.tags_file,
    tagPrefix: given.tag_prefix,
    version: given.version,
    versionFile: given.version_file,
    also: given.also,
    bumpAliases: given.bump_aliases,
    variant: given.variant,
  };
}
export type PutParams = ReturnType<typeof toPutParams>;

/** Reads a put's params by their snake_case names, as far as they have no faults. */
export function readPutFields(
  given: Readonly<Record<string, unknown>>,
  reading: { readonly found: readonly Fault[]; readonly advise: Advise; readonly names: AuthorNames },
): PartlyRead<PutParams> {
  const { found, advise, names } = reading;
  const { value, faults } = readPartly(PutFields, given, "params", {
    found,
    advise,
    rules: fieldRules(names),
    placeOf: names.place,
    wrongName: ([param, name]) => (param === "options" ? whyNotOption(String(name), names) : undefined),
  });
  return { value: value === undefined ? undefined : toPutParams(value), faults };
}
