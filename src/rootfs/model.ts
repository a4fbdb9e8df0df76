import { UserError } from "../host/errors.ts";

/** What there is under one name of the tree that is being unpacked. */
export interface Node {
  readonly kind: "folder" | "symlink" | "other";
  /** The layer that put it there, counted from 0, the lowest. */
  layer: number;
  /** Of a folder. */
  readonly children: Map<string, Node>;
  /** Of a symlink: where it leads. */
  readonly target: string;
}

export function newNode(kind: Node["kind"], layer: number, target = ""): Node {
  return { kind, layer, children: new Map(), target };
}

/** As Linux (path_resolution(7)). */
const linksLimit = 40;

/** A folder of the model with its path below the root, free of symlinks. */
export interface Found {
  readonly node: Node;
  readonly path: readonly string[];
}

/**
 * The tree as it is on the disk. The destination starts empty and has no other writer, so this is the authority:
 * paths resolve here, inside the root, and the disk is only reached by paths that have no symlink in them.
 */
export class TreeModel {
  readonly root: Node = newNode("folder", -1);

  /**
   * Finds a folder, with symlinks followed as in a chroot.
   * @param make is asked to make a folder where there is none, in place of whatever has the name
   * @throws UserError for a circle of symlinks
   */
  resolve(parts: readonly string[], make?: (at: Found, name: string) => Node): Found | undefined {
    const path: string[] = [];
    const nodes: Node[] = [this.root];
    const rest = parts.toReversed();
    let links = 0;
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      const node = nodes.at(-1) ?? this.root;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (path.pop() !== undefined) nodes.pop();
        continue;
      }
      const child = node.children.get(name);
      if (child?.kind === "symlink") {
        if (++links > linksLimit) {
          throw new UserError(
            `layer entry ${JSON.stringify(parts.join("/").slice(0, 300))} goes through symlinks that lead in a circle; the image can't be unpacked`,
          );
        }
        if (child.target.startsWith("/")) {
          path.length = 0;
          nodes.length = 1;
        }
        rest.push(...child.target.split("/").toReversed());
        continue;
      }
      const folder = child?.kind === "folder" ? child : make?.({ node, path }, name);
      if (folder === undefined) return undefined;
      path.push(name);
      nodes.push(folder);
    }
    return { node: nodes.at(-1) ?? this.root, path };
  }
}
