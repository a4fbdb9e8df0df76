import { statSync } from "node:fs";
import { UserError } from "../../host/errors.ts";
import type { SecretSource, SshSource } from "../plan/build-options.ts";
import { allOrFaults } from "./all-or-faults.ts";
import { type InputFolder, readInputText, resolveInput } from "./input-folder.ts";
import type { Inputs, ResolveInputs } from "./inputs.ts";
import { withPathUnshown } from "./path-or-secret.ts";
import { privateFile } from "./private-file.ts";
import { contextLogins } from "./remote-context.ts";
import { sshKeyFault } from "./ssh-key.ts";

/** Bytes. BuildKit refuses larger secrets. */
const secretLimit = 500 * 1024;

/** The file of a secret, which is written if the params have its text or a variable's name. */
export async function resolveSecret(
  request: Pick<ResolveInputs, "folder" | "workspace" | "env" | "names">,
  { id, source, index }: { readonly id: string; readonly source: SecretSource; readonly index: number },
): Promise<{ id: string; file: string }> {
  const subject = request.names.param("secrets", id);
  if ("file" in source) {
    const itself = request.names.secretText(id.replace(/^TEXT_/, ""));
    const expected = `expected the path of a file. The secret itself is given by ${itself}`;
    const place = { subject, folder: request.folder, path: source.file, expected };
    const file = await withPathUnshown(place, () =>
      resolveInput(request.folder, source.file, subject, "file"),
    );
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
  // Names of variables are in upper case, and long ones have several words.
  const isName = /^[A-Z_][A-Z0-9_]*$/.test(name) && (name.length < 16 || name.includes("_"));
  const variable = isName ? `no variable ${JSON.stringify(name)}` : "no variable of this name";
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
export async function sshKeys(
  { folder, workspace, names }: Pick<ResolveInputs, "folder" | "workspace" | "names">,
  id: string,
  sources: readonly SshSource[],
): Promise<{ id: string; paths: string[] }> {
  const subject = names.param("ssh", id);
  const paths = sources.map(async (source, index) => {
    const key = "path" in source ? await keyIn(folder, source.path, subject) : source.key;
    const fault = sshKeyFault(key);
    if (fault !== undefined) throw new UserError(`${subject}: the key can't be used: ${fault}`);
    const text = key.endsWith("\n") ? key : `${key}\n`;
    return privateFile(workspace, `ssh-${id.replaceAll("/", "|")}-${index}`, "key", text);
  });
  return { id, paths: await allOrFaults(paths) };
}

function keyIn(folder: InputFolder, path: string, subject: string): Promise<string> {
  const expected =
    "expected the path of a private key, or the key itself, which begins with -----BEGIN … PRIVATE KEY-----";
  return withPathUnshown({ subject, folder, path, expected }, () =>
    readInputText(folder, path, subject, secretLimit),
  );
}

/** Writes the logins in the contexts' URLs as secrets. */
export function writeLogins({
  options,
  workspace,
  names,
}: Pick<ResolveInputs, "options" | "workspace" | "names">): Promise<Inputs["secrets"]> {
  return Promise.all(
    Array.from(contextLogins(options, names), async ([id, text], index) => ({
      id,
      file: await privateFile(workspace, `login-${index}`, "value", text),
    })),
  );
}
