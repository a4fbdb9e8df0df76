import type { RawMember } from "./raw-tar.ts";

type More = Partial<RawMember>;

export const folder = (path: string, more: More = {}): RawMember => ({
  flag: "5",
  path: `${path}/`,
  mode: 0o755,
  ...more,
});
/** A file whose content is its path, unless told otherwise. */
export const file = (path: string, content = path, more: More = {}): RawMember => ({
  flag: "0",
  path,
  content: Buffer.from(content, "latin1"),
  ...more,
});
export const symlink = (path: string, link: string, more: More = {}): RawMember => ({
  flag: "2",
  path,
  link,
  mode: 0o777,
  ...more,
});
export const hardlink = (path: string, link: string): RawMember => ({ flag: "1", path, link });
export const fifo = (path: string, more: More = {}): RawMember => ({ flag: "6", path, ...more });
export const whiteout = (path: string, more: More = {}): RawMember => {
  const at = path.lastIndexOf("/") + 1;
  return { flag: "0", path: `${path.slice(0, at)}.wh.${path.slice(at)}`, ...more };
};
export const opaque = (path: string): RawMember => ({ flag: "0", path: `${path}/.wh..wh..opq` });
