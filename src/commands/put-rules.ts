import { isIP } from "node:net";
import { daemonConfig } from "../builder/engine/daemon-config.ts";
import { registryBlocks } from "../builder/engine/registry-blocks.ts";
import { checkContextNames, namedContextKey } from "../builder/inputs/context-names.ts";
import { contextLogins, readContextUrl, readRemoteContext } from "../builder/inputs/remote-context.ts";
import { sshKeyFault } from "../builder/inputs/ssh-key.ts";
import { deliveredNames } from "../delivery/delivered-files.ts";
import { checkTargetNames, taskFolders } from "../delivery/target-names.ts";
import { type AuthorNames, namesOfPut } from "../host/author-names.ts";
import { UserError } from "../host/errors.ts";
import { suggestName } from "../host/suggest.ts";
import { formatExactPlatform } from "../image/platform.ts";
import { formatRepository } from "../image/reference.ts";
import type { RegistryAccess } from "../registry/access.ts";
import { checkCertificates } from "../registry/check-certificates.ts";
import { withMirrors } from "../registry/mirrors.ts";
import type { PutRequest, PutRules } from "../request/read-parts.ts";
import { isRefused, type PlacedMessage, placed, type Rule, thrownBy } from "../request/rules.ts";
import type { Source } from "../request/source.ts";
import type { TaskReading } from "../request/task-params.ts";
import { registriesVariable } from "../request/task-registries.ts";
import { authorsTag, checkTargetTags, versionTag } from "../store/tag-plan.ts";
import { accessRules, certificateFaults } from "./access-rules.ts";
import { reservedTags } from "./wanted-tags.ts";

const tlsNames = { ca: "ca", cert: "cert", key: "key" } as const;

/** What a put's source must keep, besides the form of its fields. */
const sourceRules: readonly Rule<Source>[] = [
  ...accessRules,
  {
    of: ["buildkit"],
    faults: ({ daemons }) => {
      const remote =
        daemons.kind === "remote"
          ? daemons.remote
          : daemons.kind === "farm"
            ? daemons.farm.remote
            : undefined;
      if (remote?.tls !== undefined) checkCertificates(remote.tls, "source.buildkit.tls", tlsNames);
      return undefined;
    },
  },
  {
    of: ["nodes"],
    faults: ({ daemons }) =>
      placed("nodes", daemons.kind === "nodes" ? daemons.nodes.entries() : [], ({ tls = {} }, index) =>
        checkCertificates(tls, `source.nodes.${String(index)}.tls`, tlsNames),
      ),
  },
  { of: ["buildkit_config"], faults: thrownBy((source) => configOf(source, undefined)) },
];

/** What the params of a put and of a task must keep. */
const paramRules: readonly Rule<PutRequest>[] = [
  {
    of: ["context"],
    faults: thrownBy(({ params, names }) => readContextUrl(params.context, names)),
  },
  {
    of: ["contexts"],
    faults: ({ params: { contexts }, names }) => {
      const wrong = placed("contexts", Object.entries(contexts), (text, name) => {
        namedContextKey(String(name));
        readRemoteContext(text, `contexts.${String(name)}`, names);
      });
      if (wrong.length === 0) checkContextNames(Object.keys(contexts));
      return wrong;
    },
  },
  {
    of: ["context", "contexts", "secrets"],
    faults: ({ params, names }) => {
      // A URL that is refused by itself is the matter of the rules above.
      const others = Object.values(params.contexts);
      if (isRefused(() => readContextUrl(params.context, names))) return undefined;
      if (others.some((text) => isRefused(() => readRemoteContext(text, "", names)))) return undefined;
      contextLogins(params, names);
      return undefined;
    },
  },
  {
    of: ["ssh"],
    faults: ({ params: { ssh }, names }) =>
      placed("ssh", Object.entries(ssh), (sources, id) => {
        for (const source of sources) {
          const fault = "key" in source ? sshKeyFault(source.key) : undefined;
          if (fault !== undefined)
            throw new UserError(`${names.place(["ssh", id])}: the key can't be used: ${fault}`);
        }
      }),
  },
  {
    of: ["add_hosts"],
    faults: ({ params: { addHosts }, names }) =>
      placed("add_hosts", Object.entries(addHosts), (addresses, name) => {
        // Go, in which BuildKit is written, takes no zone after an address.
        const wrong = addresses.find((address) => isIP(address) === 0 || address.includes("%"));
        if (wrong !== undefined)
          throw new UserError(
            `${names.place(["add_hosts", name])}: ${JSON.stringify(wrong)} is not an IP address; expected one such as 10.0.0.1 or fd00::1`,
          );
      }),
  },
  {
    of: ["build_args"],
    faults: ({ params: { buildArgs }, names }) => {
      const { SOURCE_DATE_EPOCH: given } = buildArgs;
      if (given === undefined || /^\d*$/.test(given)) return undefined;
      const path = ["build_args", "SOURCE_DATE_EPOCH"];
      const message = `${names.place(path)}: expected whole seconds since 1970, such as 1700000000; found ${JSON.stringify(given.slice(0, 60))}`;
      return [{ path, message }];
    },
  },
  {
    of: ["ulimits"],
    faults: ({ params: { ulimits } }) => placed("ulimits", Object.entries(ulimits), checkUlimit),
  },
  {
    of: ["platforms"],
    faults: ({ params: { platforms }, names }) =>
      twiceIn("platforms", platforms.map(formatExactPlatform), names),
  },
  {
    of: ["network", "allow"],
    faults: ({ params: { network, allow } }) =>
      network === "host" && !allow.includes("network.host")
        ? 'params.network: "host" also needs "allow: [network.host]"'
        : undefined,
  },
  {
    of: ["registry_mirrors"],
    faults: thrownBy(mirrorsOf),
  },
  {
    of: ["buildkit_extra_config", "allow", "registry_mirrors"],
    faults: (request) => {
      // A wrong mirror is the matter of the rule above.
      if (!isRefused(() => mirrorsOf(request))) configOf(undefined, request);
      return undefined;
    },
  },
];

/** What a put must keep, besides the form of its fields. */
export const putRules: PutRules = {
  ofSource: sourceRules,
  ofPut: [
    ...paramRules,
    {
      of: ["network"],
      ofSource: ["sandbox", "buildkit", "nodes"],
      faults: ({ params: { network }, source }) =>
        network === "none" && source?.daemons.kind === "own" && source.daemons.sandbox === "gvisor"
          ? 'params.network: "none" isn\'t possible with "sandbox: gvisor" in the source, because a gVisor sandbox has no isolated networks: remove one of the two, or write "sandbox: auto" and run where BuildKit needs no sandbox (docs/without-privileges.md)'
          : undefined,
    },
    {
      of: ["additional_targets"],
      faults: thrownBy(({ params }) => {
        checkTargetNames(params.additionalTargets, deliveredNames, "params.additional_targets");
      }),
    },
    {
      of: ["tags"],
      faults: ({ params: { tags } }) =>
        placed("tags", tags.entries(), (tag) => authorsTag(tag, "params.tags", () => false)),
    },
    {
      of: ["tags", "additional_targets", "platforms", "also"],
      ofSource: ["repository", "cache", "nodes"],
      faults: ({ params, source }) => {
        if (source === undefined) return undefined;
        const isReserved = reservedTags(source, params);
        const isValid = ([, tag]: readonly [unknown, string]) => isReserved(tag);
        return placed("tags", [...params.tags.entries()].filter(isValid), (tag) =>
          authorsTag(tag, "params.tags", isReserved),
        );
      },
    },
    {
      of: ["version", "tag_prefix", "variant"],
      ofSource: ["variant"],
      faults: thrownBy(tagOfVersion),
    },
    {
      of: ["bump_aliases", "version", "version_file"],
      wants: true,
      faults: ({ params: { bumpAliases, version, versionFile } }) =>
        bumpAliases && version === undefined && versionFile === undefined
          ? "params.bump_aliases moves the aliases of a version: give version or version_file as well"
          : undefined,
    },
    {
      of: ["additional_targets", "tags", "version", "tag_prefix", "variant", "platforms", "also"],
      ofSource: ["repository", "cache", "nodes", "variant"],
      faults: thrownBy(checkTagsOfTargets),
    },
    {
      of: ["also"],
      ofSource: ["repository"],
      faults: ({ params, source, names }) => {
        const all = params.also.map(formatRepository);
        const twice = twiceIn("also", all, names);
        if (twice.length > 0 || source?.store.kind !== "registry") return twice;
        const own = formatRepository(source.store.repository);
        const index = all.indexOf(own);
        if (index === -1) return undefined;
        return [
          {
            path: ["also", index],
            message: `params.also: ${own} is the source's own repository: remove it`,
          },
        ];
      },
    },
    ...(["tags", "tags_file", "version", "version_file", "additional_targets", "also"] as const).map(
      needsRegistry,
    ),
    {
      of: ["buildkit_extra_config", "allow", "registry_mirrors"],
      ofSource: ["buildkit_config", "registries", "registry_mirrors", "repository"],
      faults: (request) => {
        const { source } = request;
        // Texts that can't be used by themselves are the matter of other rules.
        const alone = () => [configOf(source, undefined), configOf(undefined, request)];
        if (!isRefused(alone)) configOf(source, request);
        return undefined;
      },
    },
    {
      of: ["buildkit_extra_config"],
      ofSource: ["buildkit", "nodes"],
      faults: ({ params, source }) => {
        if (params.buildkitExtraConfig === undefined || source === undefined || source.daemons.kind === "own")
          return undefined;
        const elsewhere = source.daemons.kind === "nodes" ? "nodes" : "buildkit";
        return `params: buildkit_extra_config configures the step's own buildkitd, but the source's ${elsewhere} names another: remove one of the two`;
      },
    },
  ],
};

/** What the params of a task must keep, besides the form of each. */
export const taskRules: Omit<TaskReading, "parseYaml"> = {
  ofParams: [
    ...paramRules,
    {
      of: ["additional_targets"],
      faults: thrownBy(({ params, names }) => {
        checkTargetNames(params.additionalTargets, taskFolders, names.place(["additional_targets"]));
      }),
    },
  ],
  ofHosts: [{ of: [registriesVariable], faults: (hosts) => certificateFaults(hosts, registriesVariable) }],
  ofTask: [],
};

/** What is wrong with a list in which something is there twice. */
function twiceIn(field: string, all: readonly string[], names: AuthorNames): readonly PlacedMessage[] {
  const again = all.findIndex((each, index) => all.indexOf(each) !== index);
  if (again === -1) return [];
  const message = `${names.place([field])}: ${all[again]} is given twice: remove one`;
  return [{ path: [field, again], message }];
}

/** The mirrors that the params name. @throws UserError if one can't be a mirror */
function mirrorsOf(
  { params, names }: PutRequest,
  hosts: RegistryAccess["hosts"] = new Map(),
): RegistryAccess["hosts"] {
  return withMirrors(hosts, "docker.io", params.registryMirrors, (index) =>
    names.place(["registry_mirrors", index]),
  );
}

/** The limits that BuildKit knows (github.com/docker/go-units, ulimit.go). */
const knownUlimits =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  );

function checkUlimit(limits: string, key: PropertyKey): void {
  const name = String(key);
  if (!knownUlimits.includes(name)) {
    const near = suggestName(name, knownUlimits);
    const hint =
      near === undefined
        ? `expected one of ${knownUlimits.join(", ")}`
        : `did you mean ${JSON.stringify(near)}?`;
    throw new UserError(`params.ulimits: there is no limit ${JSON.stringify(name)}; ${hint}`);
  }
  const [soft, hard = soft] = limits.split(":").map(Number);
  if (soft === undefined || hard === undefined || hard === -1 || (soft <= hard && soft !== -1)) return;
  throw new UserError(
    `params.ulimits.${name}: the soft limit is above the hard limit in ${JSON.stringify(limits)}; write soft:hard, such as "1024:2048"`,
  );
}

/** The configuration that BuildKit would get, but for paths and for what depends on the container. @throws UserError */
function configOf(source: Source | undefined, request: PutRequest | undefined): string {
  const { names = namesOfPut } = request ?? {};
  const texts = [
    { subject: "buildkit_config", text: source?.buildkitConfig },
    { subject: names.param("buildkit_extra_config"), text: request?.params.buildkitExtraConfig },
  ];
  const extra = texts.flatMap(({ subject, text }) => (text === undefined ? [] : [{ subject, text }]));
  if (extra.length === 0) return "";
  const own = source?.registryAccess.hosts ?? new Map();
  const hosts = request === undefined ? own : mirrorsOf(request, own);
  return daemonConfig({
    root: "/root-of-the-step",
    socket: "/socket-of-the-step",
    tracesSocket: "/traces-of-the-step",
    entitlements: request?.params.allow ?? [],
    registries: registryBlocks({ hosts }, { hosts: new Map() }),
    extra,
  });
}

/** The tag of the version that the params give, if they give one. @throws UserError if it can't be a tag */
function tagOfVersion({ params, source }: PutRequest): string[] {
  const { version, tagPrefix: prefix = "", variant = source?.variant } = params;
  return version === undefined ? [] : [versionTag({ version, prefix, variant })];
}

function checkTagsOfTargets(request: PutRequest): void {
  const { params, source } = request;
  const isReserved = source === undefined ? () => false : reservedTags(source, params);
  const version = isRefused(() => tagOfVersion(request)) ? [] : tagOfVersion(request);
  checkTargetTags([...params.tags, ...version], params.targetTags, isReserved);
}

/** Params that have no meaning for a directory. */
function needsRegistry(field: string): Rule<PutRequest> {
  return {
    of: [field],
    ofSource: ["directory", "repository"],
    faults: ({ params, source }) => {
      if (source?.store.kind !== "directory") return undefined;
      const given = {
        tags: params.tags,
        tags_file: params.tagsFiles,
        version: params.version ?? [],
        version_file: params.versionFile ?? [],
        additional_targets: [...params.targetTags.values()].flat(),
        also: params.also,
      }[field];
      if (given === undefined || given.length === 0) return undefined;
      const what = field === "also" ? "also names repositories of registries" : "tags need a registry";
      return `params: ${what}: name source.repository instead of source.directory, or leave ${field === "additional_targets" ? "the targets' tags" : field} out`;
    },
  };
}
