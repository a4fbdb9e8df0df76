import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AuthorNames } from "../../host/author-names.ts";
import { orNone } from "../../host/or-none.ts";
import type { RegistryAccess } from "../../registry/access.ts";
import type { Inputs } from "../inputs/inputs.ts";
import type { BuildOptions } from "../plan/build-options.ts";
import type { LayerCache } from "../plan/layer-cache.ts";
import type { BuildDescription, ShownContext } from "../progress/build-description.ts";

export interface DescribedOptions extends Pick<BuildOptions, "sourcePolicy" | "ssh" | "ulimits"> {
  /** The context as the params name it. */
  readonly shown: string;
  readonly access: RegistryAccess;
  readonly names: AuthorNames;
  readonly cache: Pick<LayerCache, "locations">;
  /** Whether BuildKit is the step's own. */
  readonly isOwn: boolean;
}

/**
 * The facts that messages about a failed build need. The disk is only read for such a message.
 */
export function describeBuild(
  { dockerfile, context, secrets }: Pick<Inputs, "dockerfile" | "context" | "secrets">,
  { shown, access, cache, isOwn, names, sourcePolicy, ssh, ulimits }: DescribedOptions,
): BuildDescription {
  const own = dockerfile && {
    name: `${dockerfile.shown}.dockerignore`,
    path: join(dockerfile.folder, `${dockerfile.name}.dockerignore`),
  };
  return {
    names,
    dockerfile: dockerfile && { name: dockerfile.shown, text: dockerfile.text },
    context: context.kind === "git" ? undefined : describeContext(context.path, shown, own),
    sourcePolicy,
    hasLogin: (host) => access.hosts.get(host)?.username !== undefined,
    given: { secrets: secrets.map(({ id }) => id), ssh: Object.keys(ssh) },
    limits: { ofDaemon: isOwn, ofPrograms: isOwn && Object.keys(ulimits).length === 0 },
    usesLayerCache: cache.locations.length > 0,
  };
}

interface IgnoreFile {
  readonly name: string;
  readonly path: string;
}

// A file that can't be read only makes a message less detailed.
function describeContext(folder: string, name: string, own: IgnoreFile | undefined): ShownContext {
  const common = { name: join(name, ".dockerignore"), path: join(folder, ".dockerignore") };
  return {
    name,
    holds: (path) => orNone(() => lstatSync(join(folder, path))) !== undefined,
    list: (path) => orNone(() => readdirSync(join(folder, path))),
    // If the Dockerfile has its own ignore file, BuildKit uses that and not the context's.
    ignoreFile: () => {
      for (const file of own === undefined ? [common] : [own, common]) {
        const text = orNone(() => readFileSync(file.path, "utf8"));
        if (text !== undefined) return { name: file.name, text };
      }
      return undefined;
    },
  };
}
