import type { AuthorNames } from "../host/author-names.ts";

/** What to do instead of setting an option: write one of these params, configure a cache, or something else. */
type Instead =
  | { readonly params: readonly string[]; readonly how?: string }
  | { readonly advice: string }
  | "cache";

const frontend = "name the frontend in the Dockerfile's # syntax= line, or as the build arg BUILDKIT_SYNTAX";

/**
 * Frontend options that `options` can't set, with what to do instead: a param or field sets them, or the build
 * relies on them. A name that ends with ":" stands for all names that begin with it.
 *
 * The names are those of BuildKit's Dockerfile frontend (frontend/dockerui/config.go and context.go) and of its
 * gateway (frontend/gateway/gateway.go).
 */
export const takenOptions: Readonly<Record<string, Instead>> = {
  "add-hosts": { params: ["add_hosts"] },
  "attest:provenance": { params: ["provenance"] },
  "attest:sbom": { params: ["sbom"] },
  "attest:": { params: ["provenance", "sbom"], how: ": BuildKit knows no other attestations" },
  "build-arg:": { params: ["build_args"] },
  "cache-from": "cache",
  "cache-imports": "cache",
  cmdline: { advice: frontend },
  context: { params: ["context"] },
  "context:": { params: ["contexts", "image_args"] },
  contextkey: { params: ["context"] },
  contextsubdir: { params: ["context"], how: ": a folder, or a git URL that ends with #branch:folder" },
  dockerfilekey: { params: ["dockerfile"] },
  filename: { params: ["dockerfile"] },
  "force-network-mode": { params: ["network"] },
  "frontend.caps": { advice: "remove it: BuildKit and its frontend agree on it" },
  "gateway-devel": { advice: frontend },
  "image-resolve-mode": { params: ["pull"], how: ": true" },
  "input-metadata:": { params: ["contexts", "image_args"] },
  "label:": { params: ["labels"] },
  "local-sessionid:": { advice: "remove it: buildctl sends the folders" },
  "no-cache": { params: ["no_cache"] },
  platform: { params: ["platforms"] },
  requestid: { advice: "for checks or an outline alone, run the task with CALL: check or CALL: outline" },
  "sharedkey:": { advice: "remove it: buildctl sends the folders" },
  "shm-size": { params: ["shm_size"] },
  source: { advice: frontend },
  target: { params: ["target", "additional_targets"] },
  ulimit: { params: ["ulimits"] },
};

/** What a name may be, as a regular expression: text that an argument can have before its `=`. */
export const optionNamePattern = `(?!(${Object.keys(takenOptions)
  .map((name) => (name.endsWith(":") ? name : `${name}$`))
  .join("|")
  .replaceAll(".", "\\.")}))[^=\\s\\0]+$`;

/** Why an option can't have this name, and what to set instead. */
export function whyNotOption(name: string, names: AuthorNames): string {
  const [, instead] =
    Object.entries(takenOptions).find(([taken]) =>
      taken.endsWith(":") ? name.startsWith(taken) : name === taken,
    ) ?? [];
  if (instead === undefined)
    return 'expected the name of a frontend option, without "=" and blanks, as in hostname';
  return `options can't set it; ${adviceOn(instead, names)}`;
}

function adviceOn(instead: Instead, names: AuthorNames): string {
  if (instead === "cache")
    return names.kind === "put"
      ? "write cache in the source"
      : "give the task a cache: caches: [{path: cache}]";
  if ("advice" in instead) return instead.advice;
  const { params, how = "" } = instead;
  const own = params.flatMap((param) => names.own(param) ?? []);
  return own.length > 0
    ? `write ${own.join(", or ")}${how}`
    : `only a put can, with its param ${JSON.stringify(params[0])}`;
}
