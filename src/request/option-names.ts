/**
 * Frontend options that `options` can't set, with what to do instead: a param or field sets them, or the build
 * relies on them. A name that ends with ":" stands for all names that begin with it.
 *
 * The names are those of BuildKit's Dockerfile frontend (frontend/dockerui/config.go and context.go) and of its
 * gateway (frontend/gateway/gateway.go).
 */
export const takenOptions: Readonly<Record<string, string>> = {
  "add-hosts": "write add_hosts",
  "attest:provenance": "write provenance",
  "attest:sbom": "write sbom",
  "build-arg:": "write build_args",
  "cache-from": "write cache in the source",
  "cache-imports": "write cache in the source",
  cmdline: "name the frontend in the Dockerfile's # syntax= line, or in build_args: {BUILDKIT_SYNTAX: …}",
  context: "write context",
  "context:": "write contexts, or image_args",
  contextkey: "write context",
  contextsubdir: "write context: a folder, or a git URL that ends with #branch:folder",
  dockerfilekey: "write dockerfile",
  filename: "write dockerfile",
  "force-network-mode": "write network",
  "frontend.caps": "remove it: BuildKit and its frontend agree on it",
  "gateway-devel":
    "name the frontend in the Dockerfile's # syntax= line, or in build_args: {BUILDKIT_SYNTAX: …}",
  "image-resolve-mode": "write pull: true",
  "input-metadata:": "write contexts, or image_args",
  "label:": "write labels",
  "local-sessionid:": "remove it: buildctl sends the folders",
  "no-cache": "write no_cache",
  platform: "write platforms",
  requestid: "for checks or an outline alone, run the task with CALL: check or CALL: outline",
  "sharedkey:": "remove it: buildctl sends the folders",
  "shm-size": "write shm_size",
  source: "name the frontend in the Dockerfile's # syntax= line, or in build_args: {BUILDKIT_SYNTAX: …}",
  target: "write target, or additional_targets",
  ulimit: "write ulimits",
};

/** What a name may be, as a regular expression: text that an argument can have before its `=`. */
export const optionNamePattern = `(?!(${Object.keys(takenOptions)
  .map((name) => (name.endsWith(":") ? name : `${name}$`))
  .join("|")
  .replaceAll(".", "\\.")}))[^=\\s\\0]+$`;

/** Why an option can't have this name. */
export function whyNotOption(name: string): string {
  const [, advice] =
    Object.entries(takenOptions).find(([taken]) =>
      taken.endsWith(":") ? name.startsWith(taken) : name === taken,
    ) ?? [];
  return advice === undefined
    ? 'expected the name of a frontend option, without "=" and blanks, as in hostname'
    : `options can't set it; ${advice}`;
}
