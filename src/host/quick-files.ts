import {
  accessSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
} from "node:fs";

/*
 * Calls of node:fs/promises for single names, short folders and small files. They are made in this thread: they take some
 * microseconds, and Node's way to another thread and back takes 0.1 ms. A short put makes dozens, mostly in a row.
 */

export const access = async (path: string, mode: number): Promise<void> => accessSync(path, mode);
export const lstat = async (path: string) => lstatSync(path);
export const mkdir = async (path: string, options: { readonly mode?: number } = {}): Promise<void> => {
  mkdirSync(path, options);
};
export const readdir = async (path: string): Promise<string[]> => readdirSync(path);
export const readFile = async (path: string): Promise<Buffer> => readFileSync(path);
export const realpath = async (path: string): Promise<string> => realpathSync.native(path);
export const rename = async (from: string, to: string): Promise<void> => renameSync(from, to);
export const stat = async (path: string) => statSync(path);
