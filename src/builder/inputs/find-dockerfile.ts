import { lstatSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { writeSmallFile } from "../../host/atomic-write.ts";
import { UserError } from "../../host/errors.ts";
import { orNone } from "../../host/or-none.ts";
import { type InputFolder, readInputFile, resolveInput } from "./input-folder.ts";
import type { ContextInput, DockerfileInput, ResolveInputs } from "./inputs.ts";
import { adviseOnDockerfile } from "./missing-dockerfile.ts";
import { privateFile } from "./private-file.ts";

type DockerfileRequest = Pick<ResolveInputs, "options" | "folder" | "workspace" | "excluded" | "names">;

/** Bytes. */
const dockerfileLimit = 16 * 1024 * 1024;

/**
 * The Dockerfile that the options name, or the context's. Undefined if it is in a git context.
 * @throws UserError if there is none
 */
export async function findDockerfile(
  request: DockerfileRequest,
  context: ContextInput,
): Promise<DockerfileInput | undefined> {
  const { options, folder, workspace, names } = request;
  const subject = names.param("dockerfile");
  if (options.dockerfileInline !== undefined) {
    const ignore = await ignoreFile(folder, undefined, excludedFolderOf(context, request));
    return privateDockerfile(workspace, "inline Dockerfile", Buffer.from(options.dockerfileInline), ignore);
  }
  if (context.kind === "git" && !isInput(folder, options.dockerfile)) return undefined;
  const shown = options.dockerfile ?? join(options.context, "Dockerfile");
  const file = await resolveInput(folder, shown, subject, "file").catch(async (thrown: unknown) => {
    if (!(thrown instanceof UserError) || context.kind === "git") throw thrown;
    const { context: named, dockerfile } = options;
    throw (
      (await adviseOnDockerfile({
        folder,
        context: named,
        dockerfile,
        contextFolder: context.path,
        names,
      })) ?? thrown
    );
  });
  const content = await readInputFile(folder, shown, subject, dockerfileLimit);
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

function excludedFolderOf(
  context: ContextInput,
  { excluded }: DockerfileRequest,
): ExcludedFolder | undefined {
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
