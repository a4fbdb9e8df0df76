import { suggestName } from "../../host/suggest.ts";
import { certificateAdvice, certificateFaultIn } from "../../registry/certificate-faults.ts";
import { parserDirective } from "../plan/parser-directives.ts";
import { type BuildDescription, stageList, stagesOf } from "./build-description.ts";
import type { StepName } from "./step.ts";

/**
 * Explains why an image can't be pulled, and what to change. Returns undefined for any other failure. Pure.
 * @param reason BuildKit's: `NAME: failed to resolve source metadata for REFERENCE: …`
 */
export function explainPull(
  reason: string,
  build: BuildDescription,
  step: StepName | undefined,
): string | undefined {
  const found = pullIn(reason, step);
  if (found === undefined) return undefined;
  const { name, reference, why } = found;
  const stage = missingStage(name, build);
  const said = why.replace(/ \(did you mean \S+\?\)$/, "");
  const fault = faultOf(said, reference, build);
  if (stage !== undefined) return `${stage}. There is no such image either: ${fault}`;
  return `${subjectOf(reference, build, step)} can't be pulled: ${fault}`;
}

interface Pull {
  /** As written in the Dockerfile. */
  readonly name: string;
  /** The complete reference. */
  readonly reference: string;
  readonly why: string;
}

function pullIn(reason: string, step: StepName | undefined): Pull | undefined {
  const [, named, reference, why] =
    /^(?:(\S+): )?failed to resolve source metadata for (\S+): (.*)$/s.exec(reason) ?? [];
  if (reference !== undefined && why !== undefined) return { name: named ?? reference, reference, why };
  // If BuildKit doesn't get a token, its message doesn't name the image. The step's name does.
  if (!/^failed to fetch (?:oauth|anonymous) token: /.test(reason) || step === undefined) return undefined;
  const [, loaded] =
    /^(?:\[internal\] load metadata for |resolve image config for docker-image:\/\/)(\S+)$/.exec(step.text) ??
    [];
  return loaded === undefined ? undefined : { name: loaded, reference: loaded, why: reason };
}

/**
 * Explains that a bare word probably means a stage: a stage has nearly that name, or the word is used in `--from`.
 * Returns undefined otherwise.
 */
function missingStage(name: string, build: BuildDescription): string | undefined {
  const stages = stagesOf(build);
  if (!/^[\w-]+$/.test(name) || stages.length === 0) return undefined;
  if (stages.includes(name))
    return `the stage ${JSON.stringify(name)} is defined after this line, and a stage can only use those before it`;
  const near = suggestName(name, stages);
  if (near === undefined && !isFrom(name, build)) return undefined;
  const meant = near === undefined ? "" : ` (did you mean ${JSON.stringify(near)}?)`;
  return `there is no stage ${JSON.stringify(name)}${meant}; ${stageList(build)}`;
}

function isFrom(name: string, { dockerfile }: BuildDescription): boolean {
  const text = dockerfile?.text ?? "";
  return [`--from=${name} `, `from=${name},`, `from=${name} `].some((option) => text.includes(option));
}

function subjectOf(reference: string, { dockerfile }: BuildDescription, step: StepName | undefined): string {
  const isConfig = step?.text.startsWith("resolve image config for ") === true;
  const [syntax = ""] = parserDirective(dockerfile?.text ?? "", "syntax").split(/\s+/);
  const isFrontend = syntax === "" ? /docker\/dockerfile[:@]/.test(reference) : reference.endsWith(syntax);
  if (isConfig && isFrontend)
    return `the frontend ${reference}, which the Dockerfile's "# syntax=" line names (remove the line, as BuildKit has a frontend of its own, or use a mirror),`;
  if (isConfig)
    return `the SBOM scanner ${reference} (name one that can be reached, "sbom: {generator: …}", or leave out "sbom")`;
  return `image ${reference}`;
}

/** The registry's host in a reference: `docker.io` in `docker.io/library/debian:12`. */
function hostNamed(reference: string): string {
  const [first = ""] = reference.split("/");
  return /[.:]|^localhost$/.test(first) && reference.includes("/") ? first : "docker.io";
}

/** BuildKit asks the server that a registry names for tokens; its failures name the registry before these words. */
const tokenServerIn = /failed to fetch (?:oauth|anonymous) token: .*?\bhttps?:\/\/([^/\s"?]+)/s;

/** What BuildKit says if a registry refuses a user, or one without a login. */
export const refusal: RegExp =
  /: 40[13] |insufficient_scope|authorization failed|access denied|oauth token: (?:denied|unauthorized)/;

function faultOf(why: string, reference: string, build: BuildDescription): string {
  const { names } = build;
  const host = hostNamed(reference);
  const [, asked, query] = /\bhttps?:\/\/([^/\s"]+)\/v2\/[^\s"?]*(\?[^\s"]*)?/.exec(why) ?? [];
  // Requests to a mirror name the original host in the query: `?ns=`.
  const isMirror = query?.includes("ns=") === true;
  const [, tokenServer] = tokenServerIn.exec(why) ?? [];
  const server =
    tokenServer !== undefined
      ? `the token server of ${host}, ${tokenServer},`
      : isMirror
        ? `${asked}, a mirror of ${host},`
        : host;
  const said = why.replace(/^failed to do request: \w+ "[^"]*": /, "");
  const mirrors =
    host === "docker.io"
      ? `name a mirror under ${names.quoted("registry_mirrors")}`
      : `give "mirrors" for ${host} ${names.registries}`;
  const ownMirrors =
    host === "docker.io"
      ? `under ${names.quoted("registry_mirrors")}`
      : `in "mirrors" of ${host} ${names.registries}`;
  const asker = (isMirror ? asked : undefined) ?? host;
  const [, status] = /: ((?:429|5\d\d) [A-Z][A-Za-z ]*)/.exec(why) ?? [];
  if (/^429|toomanyrequests/i.test(status ?? why)) {
    const login =
      build.hasLogin?.(asker) === true ? "" : `give username and password for ${asker} ${names.registries}, `;
    return `${server} limits how often it is asked (${said}): ${login}${mirrors}, or run the step again later`;
  }
  if (status !== undefined && tokenServer !== undefined)
    return `${server} is busy or has a fault (${said}): run the step again later`;
  if (status !== undefined)
    return `${server} is busy or has a fault (${said}): run the step again later; if that doesn't help, ${mirrors}`;
  if (/no match for platform in manifest/.test(why))
    return `it has no image for this platform (${said}): check ${names.quoted("platforms")}, and "--platform" in the Dockerfile's FROM`;
  if (/: not found$|^not found$/.test(why))
    return `${server} has no such image (not found): check the name, the tag and the registry`;
  if (refusal.test(why))
    return build.hasLogin?.(asker) === true
      ? `${server} refuses it to the user given for ${asker} (${said}): check username and password, that this user may pull it, and that the image exists`
      : `${server} refuses it (${said}): check that the image exists; if it is private, give username and password for ${asker} ${names.registries}`;
  if (/server gave HTTP response to HTTPS client/.test(why))
    return `${server} uses plain http (${said}): set "insecure: true" for ${asked ?? host} ${names.registries}`;
  const [, artifact] = /encountered unknown type (\S+); children may not be fetched/.exec(why) ?? [];
  if (artifact !== undefined)
    return `it is an artifact of type ${artifact}, such as a chart or a signature, and no image: check the name and the tag`;
  const certificate = certificateFaultIn(why);
  if (certificate !== undefined)
    return `${server.replace(/,$/, "")}: ${said}; ${certificateAdvice(names)[certificate]}`;
  if (/no such host|server misbehaving/.test(why) && isMirror)
    return `the name of ${server} can't be looked up (${said}): check it ${ownMirrors}`;
  if (/no such host|server misbehaving/.test(why) && tokenServer !== undefined)
    return `the name of ${server} can't be looked up (${said}): BuildKit has to reach it too; if it can't, ${mirrors}`;
  if (/no such host|server misbehaving/.test(why))
    return `the name of ${asked ?? host} can't be looked up (${said}): check the image's name; without access to ${host}, ${mirrors}`;
  if (
    /connection refused|no route to host|network is unreachable|i\/o timeout|TLS handshake timeout|deadline exceeded/.test(
      why,
    )
  )
    return tokenServer !== undefined
      ? `${server} can't be reached (${said}): BuildKit has to reach it too; if it can't, ${mirrors}`
      : isMirror
        ? `${server} can't be reached (${said}): check its name ${ownMirrors}, and that BuildKit can reach it`
        : `${server} can't be reached (${said}): check the image's name, and that BuildKit can reach the host; if not, ${mirrors}`;
  return said;
}
