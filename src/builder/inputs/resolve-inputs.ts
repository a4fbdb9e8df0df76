import { existsSync, lstatSync, mkdirSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import { orNone } from "../../host/or-none.ts";
import type { Platform } from "../../image/descriptor.ts";
import type { OpenedImage } from "../../image/reader/open-image.ts";
import type { BuildOptions, SecretSource, SshSource, Strings } from "../plan/build-options.ts";
import { allOrFaults } from "./all-or-faults.ts";
import { checkContextNames, namedContextKey } from "./context-names.ts";
import { type InputFolder, readInputFile, readInputText, resolveInput } from "./input-folder.ts";
import type { ContextInput, DockerfileInput, Inputs, LayoutInput, NamedContext } from "./inputs.ts";
import { adviseOnDockerfile } from "./missing-dockerfile.ts";
import type { PairsFile } from "./pairs-file.ts";
import { registryImageHint } from "./registry-image.ts";
import { contextLogins, readContextUrl, readRemoteContext } from "./remote-context.ts";
import { sshKeyFault } from "./ssh-key.ts";
import { type BuildPlatforms, wantedPlatforms } from "./wanted-platforms.ts";

export interface ResolveInputs {
  readonly options: BuildOptions;
  readonly folder: InputFolder;
  /** A private folder for files that have to be written: inline secrets, keys, Dockerfiles, blobs of image tars. */
  readonly workspace: string;
  /** The platforms for which image args and contexts are needed. */
  readonly platforms: BuildPlatforms;
  /** The step's own environment, which `secrets: {id: {env: NAME}}` reads. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A folder to leave out of the context if it is inside it: a task's cache. */
  readonly excluded: string | undefined;
  readonly log: Pick<Log, "line" | "warn">;
  readonly signal: AbortSignal;
}

/** Bytes. BuildKit refuses larger secrets. */
const secretLimit = 500 * 1024;
/** Bytes. */
const dockerfileLimit = 16 * 1024 * 1024;

/**
 * Finds, reads and checks everything that the options name.
 * @throws UserError naming the param whose path or file is wrong
 */
export async function resolveInputs(request: ResolveInputs): Promise<Inputs> {
  const { options, folder } = request;
  checkContextNames(Object.keys(options.contexts));
  const context = await findContext(options, folder);
  const dockerfile = await findDockerfile(request, context);
  const [buildArgs, labels, target, imageArgs, contexts, secrets, ssh] = await allOrFaults([
    readPairs(request, "build args"),
    readPairs(request, "labels"),
    findTarget(options, folder),
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

/** Writes the logins in the contexts' URLs as secrets. */
function writeLogins({ options, workspace }: ResolveInputs): Promise<Inputs["secrets"]> {
  return Promise.all(
    Array.from(contextLogins(options), async ([id, text], index) => ({
      id,
      file: await privateFile(workspace, `login-${index}`, "value", text),
    })),
  );
}

async function findContext(options: BuildOptions, folder: InputFolder): Promise<ContextInput> {
  const remote = readContextUrl(options.context);
  return remote === undefined
    ? { kind: "folder", path: await resolveInput(folder, options.context, "context", "folder") }
    : { kind: "git", url: remote.url };
}

async function findDockerfile(
  request: ResolveInputs,
  context: ContextInput,
): Promise<DockerfileInput | undefined> {
  const { options, folder, workspace } = request;
  if (options.dockerfileInline !== undefined) {
    const ignore = await ignoreFile(folder, undefined, excludedFolderOf(context, request));
    return privateDockerfile(workspace, "inline Dockerfile", Buffer.from(options.dockerfileInline), ignore);
  }
  if (context.kind === "git" && !isInput(folder, options.dockerfile)) return undefined;
  const shown = options.dockerfile ?? join(options.context, "Dockerfile");
  const file = await resolveInput(folder, shown, "dockerfile", "file").catch(async (thrown: unknown) => {
    if (!(thrown instanceof UserError) || context.kind === "git") throw thrown;
    const { context: named, dockerfile } = options;
    throw (
      (await adviseOnDockerfile({ folder, context: named, dockerfile, contextFolder: context.path })) ??
      thrown
    );
  });
  const content = await readInputFile(folder, shown, "dockerfile", dockerfileLimit);
  const lexical = join(folder.path, shown);
  const named = shown.startsWith("/") ? shown : lexical;
  const keptOut = excludedFolderOf(context, request);
  if (keptOut === undefined && !lstatSync(named).isSymbolicLink()) {
    return { folder: dirname(file), name: basename(file), shown, text: content.toString("utf8") };
  }
  // BuildKit follows a symlink only inside the folder that it is sent. So a linked Dockerfile is sent from a folder
  // of its own, with the ignore file that belongs to the name the author gave.
  const ignore = await ignoreFile(folder, `${named}.dockerignore`, keptOut);
  return privateDockerfile(workspace, shown, content, ignore);
}

interface ExcludedFolder {
  /** The context's folder. */
  readonly context: string;
  /** The path inside the context, with slashes. */
  readonly path: string;
}

function excludedFolderOf(context: ContextInput, { excluded }: ResolveInputs): ExcludedFolder | undefined {
  if (excluded === undefined || context.kind === "git") return undefined;
  const path = relative(context.path, excluded);
  return path === "" || path.startsWith("..") ? undefined : { context: context.path, path };
}

/**
 * The text of the ignore file for a Dockerfile that is sent from a folder of its own.
 * @param own the ignore file beside the Dockerfile, which takes precedence over the context's
 */
async function ignoreFile(
  folder: InputFolder,
  own: string | undefined,
  keptOut: ExcludedFolder | undefined,
): Promise<string | undefined> {
  const given = own === undefined ? undefined : await readIgnored(folder, own);
  if (keptOut === undefined) return given;
  const common = given ?? (await readIgnored(folder, join(keptOut.context, ".dockerignore")));
  // The last matching pattern decides.
  return `${common ?? ""}\n/${keptOut.path}\n`;
}

/** Reads an optional file. If it exists, it must be a file of the inputs, like every other. */
async function readIgnored(folder: InputFolder, file: string): Promise<string | undefined> {
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return undefined;
  const path = folder.kind === "task" ? file : relative(folder.path, file);
  const bytes = await readInputFile(folder, path, "the Dockerfile's ignore file", dockerfileLimit);
  return bytes.toString("utf8");
}

function isInput(folder: InputFolder, path: string | undefined): boolean {
  return path !== undefined && orNone(() => statSync(join(folder.path, path)))?.isFile() === true;
}

async function privateDockerfile(
  workspace: string,
  shown: string,
  content: Buffer,
  ignore: string | undefined,
): Promise<DockerfileInput> {
  const name = "Dockerfile";
  const folder = await privateFile(workspace, "dockerfile", name, content).then(dirname);
  if (ignore !== undefined) await writeSmallFile(join(folder, `${name}.dockerignore`), ignore);
  return { folder, name, shown, text: content.toString("utf8") };
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
  { options, folder, signal }: ResolveInputs,
  kind: PairsFile["kind"],
): Promise<Strings> {
  const [given, path, subject] =
    kind === "labels"
      ? [options.labels, options.labelsFile, "labels_file"]
      : [options.buildArgs, options.buildArgsFile, "build_args_file"];
  if (path === undefined) return given;
  const { parsePairs } = await import("./pairs-file.ts");
  const text = await readInputText(folder, path, subject);
  return { ...(await parsePairs(text, { path, subject, kind, signal })), ...given };
}

async function findTarget(options: BuildOptions, folder: InputFolder): Promise<string | undefined> {
  if (options.targetFile === undefined) return options.target;
  const text = (await readInputText(folder, options.targetFile, "target_file")).trim();
  if (text === "" || /\s/.test(text)) {
    throw new UserError(
      `target_file: ${JSON.stringify(options.targetFile)} must hold the name of one build stage`,
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
  const subject = `image_args.${name}`;
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
  const remote = readRemoteContext(value, subject);
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
  { folder }: ResolveInputs,
  { param, path, subject }: { readonly param: string; readonly path: string; readonly subject: string },
): Promise<string> {
  try {
    return await resolveInput(folder, path, subject, "file or folder");
  } catch (thrown) {
    const [artifact = ""] = path.split("/");
    const registryImage = registryImageHint(param, path);
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

async function resolveSecret(
  request: ResolveInputs,
  { id, source, index }: { readonly id: string; readonly source: SecretSource; readonly index: number },
): Promise<{ id: string; file: string }> {
  const subject = `secrets.${id}`;
  if ("file" in source) {
    const file = await resolveInput(request.folder, source.file, subject, "file").catch((thrown: unknown) => {
      if (!(thrown instanceof UserError) || source.file.includes("/")) throw thrown;
      // A path of one part is rare, and may be the secret itself.
      throw new UserError(
        `${subject}: there is no file of the given name, which isn't shown because it may be the secret itself; expected the path of a file. The secret itself is given by secrets: {${id.replace(/^TEXT_/, "")}: {text: …}}`,
      );
    });
    const { size } = statSync(file);
    if (size > secretLimit) throw secretTooLarge(subject, size);
    return { id, file };
  }
  const text = "text" in source ? source.text : request.env[source.env];
  if (text === undefined) throw noVariable(subject, "env" in source ? source.env : "");
  const size = Buffer.byteLength(text);
  if (size > secretLimit) throw secretTooLarge(subject, size);
  return { id, file: await privateFile(request.workspace, `secret-${index}`, "value", text) };
}

/** The error for a variable that isn't set. Its name is not shown if it may be the secret itself. */
function noVariable(subject: string, name: string): UserError {
  const variable = /^[A-Za-z_]\w*$/.test(name)
    ? `no variable ${JSON.stringify(name)}`
    : "no variable of this name";
  return new UserError(
    `${subject}: the step's environment has ${variable}; give the secret itself, as {text: ((name))} or {file: path}`,
  );
}

function secretTooLarge(subject: string, size: number): UserError {
  return new UserError(`${subject}: a secret of ${size} bytes; BuildKit takes at most ${secretLimit}`);
}

/**
 * Copies keys to files whose names are safe for buildctl, which splits `--ssh` at commas. BuildKit shows that name
 * if it can't use the key.
 */
async function sshKeys(
  { folder, workspace }: ResolveInputs,
  id: string,
  sources: readonly SshSource[],
): Promise<{ id: string; paths: string[] }> {
  const subject = `ssh.${id}`;
  const paths = sources.map(async (source, index) => {
    const key =
      "path" in source ? await readInputText(folder, source.path, subject, secretLimit) : source.key;
    const fault = sshKeyFault(key);
    if (fault !== undefined) throw new UserError(`${subject}: the key can't be used: ${fault}`);
    const text = key.endsWith("\n") ? key : `${key}\n`;
    return privateFile(workspace, `ssh-${id.replaceAll("/", "|")}-${index}`, "key", text);
  });
  return { id, paths: await allOrFaults(paths) };
}

/**
 * Writes content to a file of mode 0600. Secrets are passed in files because others can read argument lists and
 * environments.
 */
async function privateFile(
  workspace: string,
  purpose: string,
  name: string,
  content: string | Buffer,
): Promise<string> {
  const folder = join(workspace, purpose);
  mkdirSync(folder, { mode: 0o700 });
  const file = join(folder, name);
  await writeSmallFile(file, content, { mode: 0o600, flag: "wx" });
  return file;
}

async function inOrder<V, R>(
  record: Readonly<Record<string, V>>,
  each: (name: string, value: V, index: number) => Promise<R>,
): Promise<R[]> {
  return allOrFaults(Object.entries(record).map(([name, value], index) => each(name, value, index)));
}
