import { certificateAdvice, certificateFaultIn } from "../../registry/certificate-faults.ts";
import type { BuildDescription } from "./build-description.ts";
import { refusal } from "./pull-failure.ts";

/**
 * What to change where a registry refuses a layer cache. Undefined if the reason itself says it. Pure.
 * @param name BuildKit's name of the step: `importing cache manifest from registry.example/app:cache`
 * @param error BuildKit's words
 */
export function cacheAdvice(
  name: string,
  error: string,
  { hasLogin, names }: Pick<BuildDescription, "hasLogin" | "names">,
): string | undefined {
  const [, asked] = /\bhttps?:\/\/([^/\s"]+)\//.exec(error) ?? [];
  const [, named] = /^importing cache manifest from ([^/\s]+)\//.exec(name) ?? [];
  const host = asked ?? named ?? "its host";
  const certificate = certificateFaultIn(error);
  if (certificate !== undefined) return certificateAdvice(names)[certificate];
  if (/server gave HTTP response to HTTPS client/.test(error))
    return `that registry uses plain http: set "insecure: true" for ${host} ${names.registries}`;
  if (!refusal.test(error)) return undefined;
  return hasLogin?.(host) === true
    ? `it refuses the user given for ${host}: check username and password, and what this user may do there`
    : `give username and password for ${host} ${names.registries}`;
}
