import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createMessageConnection, StreamMessageReader, StreamMessageWriter } from "vscode-jsonrpc/node";
import { checkout } from "./test-step.ts";

/** A fault as an editor shows it. */
export interface Diagnostic {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export interface LanguageServer extends AsyncDisposable {
  /** The faults of a document, of which `text` is the content. */
  diagnose(name: string, text: string): Promise<readonly Diagnostic[]>;
  /** What is offered at the place of `|` in a document. */
  complete(name: string, text: string): Promise<readonly string[]>;
  /** What is shown beside the pointer at the place of `|` in a document. */
  hover(name: string, text: string): Promise<string>;
}

interface Published {
  readonly uri: string;
  readonly diagnostics: readonly { readonly range: { readonly start: Position }; readonly message: string }[];
}

interface Position {
  readonly line: number;
  readonly character: number;
}

function uriOf(name: string): string {
  return pathToFileURL(join(checkout, name)).href;
}

/**
 * Starts yaml-language-server as editors do. A document's name is its path in the checkout, from where its
 * modeline finds the schema; it need not be there. The server asks no network.
 */
export async function startLanguageServer(): Promise<LanguageServer> {
  const program = join(checkout, "node_modules/yaml-language-server/bin/yaml-language-server");
  const child = spawn(process.execPath, [program, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  const settings = {
    yaml: { validate: true, completion: true, hover: true, schemaStore: { enable: false }, schemas: {} },
  };
  const waiting = new Map<string, (published: Published) => void>();
  connection.onNotification("textDocument/publishDiagnostics", (published: Published) => {
    waiting.get(published.uri)?.(published);
  });
  connection.onRequest("workspace/configuration", ({ items }: { items: { section: string }[] }) =>
    items.map(({ section }) => (settings as Record<string, unknown>)[section] ?? null),
  );
  connection.onRequest("client/registerCapability", () => null);
  connection.listen();
  const capabilities = {
    workspace: { configuration: true, didChangeConfiguration: { dynamicRegistration: true } },
    textDocument: { publishDiagnostics: {}, completion: { completionItem: {} }, hover: {} },
  };
  await connection.sendRequest("initialize", {
    processId: process.pid,
    rootUri: pathToFileURL(checkout).href,
    capabilities,
    workspaceFolders: null,
  });
  await connection.sendNotification("initialized", {});
  await connection.sendNotification("workspace/didChangeConfiguration", { settings });

  const open = async (name: string, text: string): Promise<Published> => {
    const uri = uriOf(name);
    const { promise, resolve } = Promise.withResolvers<Published>();
    waiting.set(uri, resolve);
    await connection.sendNotification("textDocument/didOpen", {
      textDocument: { uri, languageId: "yaml", version: 1, text },
    });
    return promise;
  };
  const ask = async (method: string, name: string, marked: string): Promise<unknown> => {
    const before = marked.slice(0, marked.indexOf("|")).split("\n");
    const position = { line: before.length - 1, character: before.at(-1)?.length ?? 0 };
    await open(name, marked.replace("|", ""));
    return connection.sendRequest(method, { textDocument: { uri: uriOf(name) }, position });
  };
  return {
    diagnose: async (name, text) => {
      const { diagnostics } = await open(name, text);
      return diagnostics.map(({ range, message }) => ({ line: range.start.line + 1, message }));
    },
    complete: async (name, text) => {
      const answer = await ask("textDocument/completion", name, text);
      return (answer as { items: { label: string }[] }).items.map(({ label }) => label);
    },
    hover: async (name, text) => {
      const answer = await ask("textDocument/hover", name, text);
      return JSON.stringify((answer as { contents: unknown } | null)?.contents ?? "");
    },
    [Symbol.asyncDispose]: async () => {
      await connection.sendRequest("shutdown");
      await connection.sendNotification("exit");
      await exited;
      connection.dispose();
    },
  };
}
