/**
 * A program's arguments by which another one runs with a small disk of its own at a folder: a tmpfs(5) in a mount
 * namespace, which goes with the last process in it.
 * @param options of mount(8), such as `size=1m`, `nr_inodes=5`, `ro`
 */
export function withDisk(folder: string, options: string): string[] {
  const script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"';
  return ["unshare", "--mount", "sh", "-c", script, "sh", options, folder];
}

/** The same, but what is on the disk when the program has ended is listed in a file (find(1), relative names). */
export function withListedDisk(folder: string, options: string, listing: string): string[] {
  const script =
    'mount -t tmpfs -o "$1" tmpfs "$2" && disk=$2 listing=$3 && shift 3 && { "$@"; status=$?; (cd "$disk" && find . -mindepth 1) > "$listing"; exit $status; }';
  return ["unshare", "--mount", "sh", "-c", script, "sh", options, folder, listing];
}
