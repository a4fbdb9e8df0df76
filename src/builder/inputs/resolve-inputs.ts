import { existsSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../../host/errors.ts";
import type { Platform } from "../../image/descriptor.ts";
import type { OpenedImage } from "../../image/reader/open-image.ts";
import type { Strings } from "../plan/build-options.ts";
import { allOrFaults } from "./all-or-faults.ts";
import { checkContextNames, namedContextKey } from "./context-names.ts";
import { findDockerfile } from "./find-dockerfile.ts";
import { readInputText, resolveInput } from "./input-folder.ts";
import type { ContextInput, Inputs, LayoutInput, NamedContext, ResolveInputs } from "./inputs.ts";
import type { PairsFile } from "./pairs-file.ts";
import { privateFile } from "./private-file.ts";
import { registryImageHint } from "./registry-image.ts";
import { readContextUrl, readRemoteContext } from "./remote-context.ts";
import { resolveSecret, sshKeys, writeLogins } from "./secret-files.ts";
import { wantedPlatforms } from "./wanted-platforms.ts";

/**
 * Finds, reads and checks everything that the options name.
 * @throws UserError naming the param whose path or file is wrong
 */
export async function resolveInputs(request: ResolveInputs): Promise<Inputs> {
  const { options } = request;
  checkContextNames(Object.keys(options.contexts));
  const context = await findContext(request);
  const dockerfile = await findDockerfile(request, context);
  const [buildArgs, labels, target, imageArgs, contexts, secrets, ssh] = await allOrFaults([
    readPairs(request, "build args"),
    readPairs(request, "labels"),
    findTarget(request),
    inOrder(options.imageArgs, (name, path) =>
      imageArg(request, name, { path, dockerfile: dockerfile?.text }),
    ),
    inOrder(options.contexts, (name, value) =>
      namedContext(request, name, { value, dockerfile: dockerfile?.text }),
    ),
    inOrder(options.secrets, (id, source, index) => resolveSecret(request, { id, source, index })),
    inOrder(options.ssh, (id, sources) => sshKeys(request, id, sources)),
  ]);
  const fromGit = options.gitLabels ? await commitLabels(request, context) : {};
  const gitDockerfile = dockerfile === undefined ? options.dockerfile : undefined;
  const logins = await writeLogins(request);
  return {
    context,
    dockerfile,
    gitDockerfile,
    buildArgs,
    labels: { ...fromGit, ...labels },
    target,
    imageArgs,
    contexts,
    secrets: [...secrets, ...logins],
    policyFile: await writePolicy(request),
    ssh,
  };
}

async function writePolicy({ options, workspace }: ResolveInputs): Promise<string | undefined> {
  if (options.sourcePolicy === undefined) return undefined;
  const { expressions: _, ...document } = options.sourcePolicy;
  return privateFile(workspace, "source-policy", "policy.json", JSON.stringify(document));
}

async function findContext({ options, folder, names }: ResolveInputs): Promise<ContextInput> {
  const remote = readContextUrl(options.context, names);
  return remote === undefined
    ? { kind: "folder", path: await resolveInput(folder, options.context, names.param("context"), "folder") }
    : { kind: "git", url: remote.url };
}

async function commitLabels(
  { options: { version }, folder, env, signal }: ResolveInputs,
  context: ContextInput,
): Promise<Strings> {
  const { gitLabels } = await import("./git-labels.ts");
  return gitLabels({ context, folder, version }, { env, signal });
}

/** The build args or labels of the params, which override those of their file. */
async function readPairs(
  { options, folder, names, signal }: ResolveInputs,
  kind: PairsFile["kind"],
): Promise<Strings> {
  const [given, path, param] =
    kind === "labels"
      ? ([options.labels, options.labelsFile, "labels_file"] as const)
      : ([options.buildArgs, options.buildArgsFile, "build_args_file"] as const);
  if (path === undefined) return given;
  const subject = names.param(param);
  const { parsePairs } = await import("./pairs-file.ts");
  const text = await readInputText(folder, path, subject);
  return { ...(await parsePairs(text, { path, subject, kind, signal })), ...given };
}

async function findTarget({ options, folder, names }: ResolveInputs): Promise<string | undefined> {
  if (options.targetFile === undefined) return options.target;
  const subject = names.param("target_file");
  const text = (await readInputText(folder, options.targetFile, subject)).trim();
  if (text === "" || /\s/.test(text)) {
    throw new UserError(
      `${subject}: ${JSON.stringify(options.targetFile)} must hold the name of one build stage`,
    );
  }
  return text;
}

async function openImage(
  { folder, workspace, log, signal }: ResolveInputs,
  image: { readonly name: string; readonly path: string; readonly platforms: readonly Platform[] },
): Promise<OpenedImage> {
  // Loaded only when needed: most builds use no image of the inputs.
  const { openImageArg } = await import("../../image/reader/open-image.ts");
  return openImageArg({ ...image, root: realpathSync.native(folder.path), workspace, log, signal });
}

async function imageArg(
  request: ResolveInputs,
  name: string,
  { path, dockerfile }: { readonly path: string; readonly dockerfile: string | undefined },
): Promise<LayoutInput> {
  const subject = request.names.param("image_args", name);
  const real = await imagePath(request, { param: "image_args", path, subject });
  const platforms = wantedPlatforms(dockerfile, `$${name}`, request.platforms);
  return { name, ...(await openImage(request, { name: subject, path: real, platforms })) };
}

async function namedContext(
  request: ResolveInputs,
  key: string,
  { value, dockerfile }: { readonly value: string; readonly dockerfile: string | undefined },
): Promise<NamedContext> {
  const subject = `contexts.${key}`;
  const name = namedContextKey(key);
  const remote = readRemoteContext(value, subject, request.names);
  if (remote !== undefined) return { kind: "remote", name, url: remote.url };
  const given = value.replace(/^oci-layout:\/\//i, "");
  const path = await imagePath(request, { param: "contexts", path: given, subject });
  if (statSync(path).isDirectory() && !holdsImage(path, value)) return { kind: "folder", name, path };
  const platforms = wantedPlatforms(dockerfile, name, request.platforms);
  const opened = await openImage(request, { name: subject, path, platforms });
  return { kind: "layout", name, ...opened };
}

/**
 * The real path of what may be an image.
 * @throws UserError as {@link resolveInput}, with what else may have been meant
 */
async function imagePath(
  { folder, names }: ResolveInputs,
  { param, path, subject }: { readonly param: string; readonly path: string; readonly subject: string },
): Promise<string> {
  try {
    return await resolveInput(folder, path, subject, "file or folder");
  } catch (thrown) {
    const [artifact = ""] = path.split("/");
    const registryImage = registryImageHint(param, path, names);
    if (!(thrown instanceof UserError)) throw thrown;
    if (registryImage !== undefined && !existsSync(join(folder.path, artifact)))
      throw new UserError(`${subject}: there is no input ${JSON.stringify(path)}; ${registryImage}`);
    const { hintAtGet } = await import("../../image/reader/get-without-image.ts");
    const get = path.includes("/") ? await hintAtGet(join(folder.path, dirname(path))) : undefined;
    throw get === undefined ? thrown : new UserError(`${thrown.message}; ${get}`);
  }
}

function holdsImage(folder: string, value: string): boolean {
  return (
    /^oci-layout:\/\//i.test(value) ||
    statSync(join(folder, "oci-layout"), { throwIfNoEntry: false }) !== undefined
  );
}

async function inOrder<V, R>(
  record: Readonly<Record<string, V>>,
  each: (name: string, value: V, index: number) => Promise<R>,
): Promise<R[]> {
  return allOrFaults(Object.entries(record).map(([name, value], index) => each(name, value, index)));
}
