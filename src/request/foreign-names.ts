/** What to write instead of names that other tools use. There is one map for each place where they may be written. */
type Names = Readonly<Record<string, string>>;

const cacheInSource = "the layer cache belongs in the source: cache: true";
const pushesItself =
  "this resource pushes what it builds; for an image that is built elsewhere use the registry-image resource";
const noFollowing =
  "a check finds nothing in the registry, since versions come from puts; to follow tags use the registry-image resource";
const onlyTask =
  "a put has to build, because Concourse wants a version from it; run the image as a task with CALL: check, outline or targets";
const digestDelivered = "remove it: the get delivers the files digest and reference";
const loginInSource = "username and password belong in the source";
const credentialsInSource =
  "it belongs in the resource's source, as a ((variable)) of a credential manager; with credentials that a step of the job makes, build with the task and push with the registry-image resource";
const onlyPushes = "remove it: a put always pushes; to build without it, use the task";
const plainAccess = "it belongs in the source: insecure: true, for other registries below registries";
const registriesAccess = "write registries: {host: {username: …, password: …}}";

/**
 * From the docker-image resource, registry-image resource, oci-build task, kaniko, docker buildx, Compose and
 * GitHub's build-push-action.
 */
const putNames: Names = {
  aws_access_key_id: credentialsInSource,
  aws_secret_access_key: credentialsInSource,
  aws_session_token: credentialsInSource,
  password: credentialsInSource,
  username: credentialsInSource,
  add_host: "write add_hosts: {name: address}",
  additional_contexts: "write contexts",
  additional_tags: "write tags_file for a file with tags, or tags: [one, two] for the tags themselves",
  arch: "write platforms: [linux/amd64]",
  args: "write build_args",
  attest: "write provenance: min, or sbom: true",
  attests: "write provenance: min, or sbom: true",
  authfile: "the login belongs in the source: docker_config, or username and password",
  aws_default_region: "write aws_region in the source",
  build: "write context: the folder to build",
  build_arg: "write build_args: {NAME: value}",
  build_context: "write context for the folder to build, or contexts for named ones",
  build_contexts: "write contexts",
  builder: "where to build belongs in the source: buildkit: {address: …}",
  cache: cacheInSource,
  cache_copy_layers: cacheInSource,
  cache_dir: cacheInSource,
  cache_from: cacheInSource,
  cache_repo: cacheInSource,
  cache_run_layers: cacheInSource,
  cache_tag: cacheInSource,
  cache_to: cacheInSource,
  cache_ttl: cacheInSource,
  call: onlyTask,
  cgroup_parent: "write options: {cgroup-parent: …}",
  check: onlyTask,
  cleanup: "remove it: nothing of a build is left in the step",
  compressed_caching: "remove it: BuildKit doesn't keep layers in memory",
  compression_level: "write compression: {type: gzip, level: 9}",
  context_sub_path: "write context: the folder to build",
  cpu_period: "write options: {cpuperiod: …}",
  cpu_quota: "write options: {cpuquota: …}",
  cpu_shares: "write options: {cpushares: …}",
  cpus: "write options: {cpuquota: …}, in microseconds of each 100000",
  cpuset_cpus: "write options: {cpusetcpus: …}",
  cpuset_mems: "write options: {cpusetmems: …}",
  creds: loginInSource,
  custom_platform: "write platforms: [linux/amd64]",
  debug: "write progress: plain",
  destination: "the repository belongs in the source, the tags in tags",
  digest_file: digestDelivered,
  docker_buildkit: "BuildKit is always used: remove it",
  docker_password: loginInSource,
  docker_registry: "the repository, host/name, belongs in the source",
  docker_username: loginInSource,
  dockerfile_path: "write dockerfile",
  entitlements: "write allow: [network.host]",
  export_cache: cacheInSource,
  extra_hosts: "write add_hosts: {name: address}",
  f: "write dockerfile: the path of the Dockerfile",
  file: "write dockerfile: the path of the Dockerfile",
  force: "remove it: it builds in any container",
  format: "it belongs in the put's get_params: output_oci: true or unpack_rootfs: true",
  frontend_opt: "write options: {name: value}",
  git: "write context: the repository's URL, with #branch at its end",
  github_token: "write secrets: {GIT_AUTH_TOKEN: {text: ((token))}}",
  hostname: "write options: {hostname: …}",
  ignore_path: "remove it: only what an instruction writes gets into its layer",
  ignore_var_run: "remove it: nothing of the step's own files gets into the image",
  iidfile: digestDelivered,
  image: `remove it: ${pushesItself}`,
  image_download_retry: "remove it: pulls are retried",
  image_fs_extract_retry: "remove it: pulls are retried",
  image_name_tag_with_digest_file: digestDelivered,
  image_name_with_digest_file: digestDelivered,
  import_cache: cacheInSource,
  import_file: `remove it: ${pushesItself}`,
  inherits: "remove it: params can be shared by a YAML anchor",
  insecure_pull: plainAccess,
  insecure_registry: plainAccess,
  kaniko_dir: "remove it: BuildKit keeps its files on the worker's disk",
  lint: onlyTask,
  load: `remove it: ${pushesItself}`,
  load_base: "write image_args: {base: folder}, and FROM $base in the Dockerfile",
  load_bases: "write image_args: {base: folder}, and FROM $base in the Dockerfile",
  load_file: `remove it: ${pushesItself}`,
  load_repository: `remove it: ${pushesItself}`,
  load_tag: `remove it: ${pushesItself}`,
  log_format: "remove it: the log has one form; progress: plain shows all that BuildKit does",
  log_timestamp: "remove it: Concourse notes the time of each line",
  matrix: "remove it: Concourse's step across repeats a put for each value",
  mem_limit: "write options: {memory: 512m}",
  memory: "write options: {memory: 512m}",
  memory_swap: "write options: {memory: …, memswap: …}",
  memswap_limit: "write options: {memory: …, memswap: …}",
  metadata_file: "remove it: the get delivers build.json, digest and reference",
  no_cache_filter: "write no_cache: [stage]",
  no_cache_filters: "write no_cache: [stage]",
  no_push: onlyPushes,
  no_push_cache: "it belongs in the source: cache: {ref: …, export: false}",
  oci_layout_path: "write output_oci: true",
  opt: "write options: {name: value}",
  outline: onlyTask,
  output: "remove it: a put always pushes; what its get delivers is said by output_oci and unpack_rootfs",
  outputs: "remove it: a put always pushes; what its get delivers is said by output_oci and unpack_rootfs",
  path: "write context: the folder to build",
  platform:
    "write platforms: [linux/amd64]; for the one that the get delivers, get_params: {platform: linux/amd64}",
  policy: "write source_policy: the path of a file, or {rules: […]}",
  print: onlyTask,
  pull_repository: `remove it: ${pushesItself}`,
  pull_tag: `remove it: ${pushesItself}`,
  push: "remove it: a put always pushes",
  push_retry: "remove it: pushes are retried",
  registry: "the repository, host/name, belongs in the source",
  registry_certificate: "it belongs in the source: registries: {host: {ca_certs: …}}",
  registry_client_cert: "it belongs in the source: registries: {host: {client_cert: …, client_key: …}}",
  registry_map: "mirrors belong in the source: registries: {host: {mirrors: […]}}",
  registry_mirror: "write registry_mirrors: [host]",
  repo: "the repository belongs in the source",
  rewrite_timestamp: "write source_date_epoch: …, or reproducible: true",
  rootfs: "write unpack_rootfs: true",
  save: "remove it: the get delivers image.tar",
  secret: "write secrets: {id: {file: path}}",
  secret_envs: "write secrets: {id: {text: ((secret))}}",
  secret_files: "write secrets: {id: {file: path}}",
  single_snapshot: "remove it: every instruction of the Dockerfile gives a layer",
  skip_push: onlyPushes,
  skip_tls_verify: plainAccess,
  skip_tls_verify_pull: plainAccess,
  skip_tls_verify_registry: plainAccess,
  skip_unused_stages: "remove it: only the stages that the target needs are built",
  snapshot_mode: "remove it: BuildKit always looks at whole files",
  source_policy_file: "write source_policy: the path of the file",
  squash: "remove it: BuildKit can't; copy the result into a last stage FROM scratch",
  ssh_identity: "write ssh: {default: path of the key}",
  ssh_key: "write ssh: {default: path of the key}",
  stage: "write target",
  t: "write tags: [latest]; the repository belongs in the source",
  tag: "tags is a list: write tags: [latest], or tags_file for a file that holds the tag",
  tag_as_latest: "write tags: [latest]",
  tag_file: "write tags_file",
  tar_path: "remove it: the get delivers image.tar",
  target_name: "write target",
  target_stage: "write target",
  targets: "write target: stage, and additional_targets: [stage] for more",
  timestamp: "write source_date_epoch: …",
  tls_verify: plainAccess,
  unpack: "write unpack_rootfs: true",
  use_new_run: "remove it: BuildKit always looks at whole files",
  verbose: "write progress: plain",
  verbosity: "write progress: plain",
  whitelist_var_run: "remove it: nothing of the step's own files gets into the image",
};

const ofPut = "it belongs in the put's params";

const sourceNames: Names = {
  additional_private_registries: registriesAccess,
  aws_default_region: "write aws_region",
  aws_ecr_registry_id: "write aws_account_id",
  azure_acr: "log in with the name and password of a token or a service principal: username and password",
  azure_client_id: "write username: the service principal's id",
  azure_client_secret: "write password: the service principal's secret",
  azure_tenant_id: "remove it: username and password of a service principal are enough",
  build_args: ofPut,
  ca: "write ca_certs",
  ca_cert: "write ca_certs",
  client_cert: "write registries: {host: {client_cert: …, client_key: …}}",
  client_certs: "write registries: {host: {client_cert: …, client_key: …}}",
  client_key: "write registries: {host: {client_cert: …, client_key: …}}",
  content_trust:
    "remove it; sign the pushed image by its digest in a step after the put (docs/deploy-and-sign.md)",
  context: ofPut,
  created_at_sort: noFollowing,
  debug: "write progress: plain in the put's params",
  digest: noFollowing,
  docker_host: "write buildkit: {address: …}; a Docker daemon can't be used",
  dockerfile: ofPut,
  domain: "write repository: host/name",
  email: "remove it: registries don't ask for it",
  gcp_service_account_key: "write username: _json_key and password: the key's JSON",
  google_application_credentials: "write username: _json_key and password: the key's JSON",
  google_auth: "write username: _json_key and password: the key's JSON",
  host: "write repository: host/name",
  http_proxy: "remove it: steps get the proxy that is set on the worker",
  https_proxy: "remove it: steps get the proxy that is set on the worker",
  image: "write repository: host/name",
  insecure_registries:
    "write insecure: true, or registries: {host: {insecure: true}} for other registries than the repository's",
  login: registriesAccess,
  max_concurrent_downloads: "remove it: there is no such limit",
  max_concurrent_uploads: "remove it: there is no such limit",
  mirrors: "write registry_mirrors for docker.io, or registries: {host: {mirrors: […]}}",
  name: "write repository: host/name",
  pass: "write password",
  platform: "write platforms: [linux/arm64] in the put's params",
  platforms: ofPut,
  pre_releases: noFollowing,
  registry: "write repository: host/name",
  registry_mirror: "write registry_mirrors: [host]",
  repo: "write repository",
  semver_constraint: noFollowing,
  server: "write repository: host/name",
  server_args: "write buildkit_config: BuildKit's own configuration",
  skip_ssl_verification: "write insecure: true",
  skip_tls_verify: "write insecure: true",
  tag: "tags belong in the put's params: tags: [latest]",
  tag_regex: noFollowing,
  tags: ofPut,
  target: ofPut,
  token: "write password",
  uri: "write repository: host/name",
  url: "write repository: host/name",
  user: "write username",
};

const getNames: Names = {
  aws_access_key_id: credentialsInSource,
  aws_secret_access_key: credentialsInSource,
  aws_session_token: credentialsInSource,
  password: credentialsInSource,
  username: credentialsInSource,
  format:
    "for rootfs write unpack_rootfs: true, for oci-layout output_oci: true; for oci, an image.tar, remove it",
  image: "write image_tar: false to leave the image out",
  oci: "write output_oci: true",
  platforms: "a get delivers one of them: platform: linux/arm64",
  rootfs: "write unpack_rootfs: true",
  save: "remove it: image.tar is always delivered",
  skip: "write skip_download: true",
  tag: "a get delivers a version that a put gave: pin one with the step's version",
  unpack: "write unpack_rootfs: true",
  version: "a get delivers a version that a put gave: pin one with the step's version",
};

const namesOfTls: Names = {
  ca_cert: "write ca",
  cacert: "write ca",
  client_cert: "write cert",
  client_key: "write key",
  host: "write server_name",
  insecure:
    "remove it: certificates are always checked; write server_name if they have another name than address",
  servername: "write server_name",
  skip_verify:
    "remove it: certificates are always checked; write server_name if they have another name than address",
  verify: "remove it: certificates are always checked",
};

/** Names inside of fields. `*` stands for any name or number. */
const nested: Readonly<Record<string, Names>> = {
  "source.registries.*": {
    auth: "write username and password",
    ca: "write ca_certs",
    cert: "write client_cert",
    key: "write client_key",
    mirror: "write mirrors: [host]",
    pass: "write password",
    token: "write password",
    user: "write username",
  },
  "source.buildkit": {
    addr: "write address",
    ca: "write tls: {ca: …}",
    cacert: "write tls: {ca: …}",
    cert: "write tls: {cert: …, key: …}",
    key: "write tls: {cert: …, key: …}",
    nodes: "nodes stands beside buildkit, in the source, and instead of it",
    platforms:
      "a daemon says which platforms it has; write nodes: [{address: …, platforms: […]}] to say it yourself",
    endpoint: "write address",
    host: "write address",
    url: "write address",
  },
  "source.buildkit.tls": namesOfTls,
  "source.nodes.*.tls": namesOfTls,
  "source.tracing": {
    authorization: "write headers: {authorization: …}",
    ca: "write ca_certs",
    ca_cert: "write ca_certs",
    cacert: "write ca_certs",
    collector: "write endpoint",
    exporter_otlp_endpoint: "write endpoint",
    exporter_otlp_headers: "write headers",
    exporter_otlp_protocol: "write protocol, or remove it: http/protobuf is the only one",
    header: "write headers: {name: value}",
    otel_exporter_otlp_endpoint: "write endpoint",
    otel_exporter_otlp_headers: "write headers",
    otel_exporter_otlp_protocol: "write protocol, or remove it: http/protobuf is the only one",
    token: "write headers: {authorization: Bearer …}, or the header that the receiver wants",
    url: "write endpoint",
  },
  "source.nodes.*": {
    addr: "write address",
    endpoint: "write address",
    host: "write address",
    max_builds: "only buildkit has it, with resolve: all",
    platform: "write platforms: [linux/arm64]",
    resolve: "only buildkit has it: buildkit: {address: …, resolve: all}",
  },
  "source.cache": {
    image: "write ref",
    repository: "write ref",
    tag: "write ref: repository:tag",
    url: "write ref",
  },
  "params.secrets.*": {
    path: "write file: the path",
    src: "write file: the path",
    source: "write file: the path",
    value: "write text: the secret",
    content: "write text: the secret",
  },
  // Names in the JSON of protobuf, in camel case. buildctl doesn't read it.
  "params.source_policy.rules.*.selector": { matchType: "write match_type", type: "write match_type" },
  "params.ssh.*": { file: "write path", id: "remove it: the id is the name" },
  "params.compression": {
    compression: "write type",
    "force-compression": "write force",
    "compression-level": "write level",
  },
};

const parts = { source: sourceNames, put: putNames, get: getNames };
export type RequestPart = keyof typeof parts;

/** Says what to write instead of an unknown name, if that is known. */
export type Advise = (path: readonly PropertyKey[], name: string) => string | undefined;

/**
 * Advice on names that other tools use in this part of a request.
 * @param others advice on names that belong in other parts of a pipeline
 */
export function adviseOn(part: RequestPart, others: ReadonlyMap<string, string> = new Map()): Advise {
  const subject = part === "source" ? "source" : "params";
  return (path, name) => {
    // buildx and kaniko write cache-from, tasks CACHE_FROM, and wrappers of kaniko cacheFrom.
    const plain = name
      .replaceAll(/([a-z])([A-Z])/g, "$1_$2")
      .toLowerCase()
      .replaceAll("-", "_");
    if (path.length > 0) {
      const names = Object.entries(nested).find(([place]) => fits(place, [subject, ...path]))?.[1] ?? {};
      return own(names, name) ?? own(names, plain);
    }
    return own(parts[part], plain) ?? others.get(plain);
  };
}

/** Advice on names in a value that is read by itself, as a file may hold what this field may. */
export function adviseWithin(part: RequestPart, field: string): Advise {
  const advise = adviseOn(part);
  return (path, name) => advise([field, ...path], name);
}

function own(names: Names, name: string): string | undefined {
  return Object.hasOwn(names, name) ? names[name] : undefined;
}

function fits(place: string, path: readonly PropertyKey[]): boolean {
  const pattern = place.split(".");
  return (
    pattern.length === path.length &&
    pattern.every((part, index) => part === "*" || part === String(path[index]))
  );
}
