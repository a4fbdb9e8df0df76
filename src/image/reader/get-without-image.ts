import { stat } from "node:fs/promises";
import { join } from "node:path";

/** What a folder holds that a get has delivered without an image, and how to have the get deliver one. */
const gets = [
  {
    holds: ["build.json"],
    hint: "a get of this resource delivers one without image_tar: false and skip_download",
  },
  // The docker-image resource delivers rootfs/ too, so it comes before the registry-image resource.
  {
    holds: ["docker_inspect.json"],
    hint: 'a get of the docker-image resource delivers one with "params: {save: true}"',
  },
  {
    holds: ["image-id"],
    hint: 'a get of the docker-image resource delivers one with "params: {save: true}", and without skip_download',
  },
  {
    holds: ["rootfs"],
    hint: 'a get of the registry-image resource delivers one with "params: {format: oci}"',
  },
  {
    holds: ["digest", "repository", "tag"],
    hint: 'a get of the registry-image resource delivers one with "params: {format: oci}", and without skip_download',
  },
] as const;

/** How to have an image in a folder, if that is what a get has delivered without one. */
export async function hintAtGet(folder: string): Promise<string | undefined> {
  const isThere = async (name: string) =>
    (await stat(join(folder, name)).catch(() => undefined)) !== undefined;
  for (const { holds, hint } of gets) if ((await Promise.all(holds.map(isThere))).every(Boolean)) return hint;
  return undefined;
}
