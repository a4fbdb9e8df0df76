import { stat } from "node:fs/promises";
import { join } from "node:path";

/** What a folder holds that a get has delivered without an image, and how to have the get deliver one. */
const gets = [
  {
    holds: "build.json",
    hint: "a get of this resource delivers one without image_tar: false and skip_download",
  },
  {
    holds: "rootfs",
    hint: 'a get of the registry-image resource delivers one with "params: {format: oci}"',
  },
  {
    holds: "docker_inspect.json",
    hint: 'a get of the docker-image resource delivers one with "params: {save: true}"',
  },
] as const;

/** How to have an image in a folder, if that is what a get has delivered without one. */
export async function hintAtGet(folder: string): Promise<string | undefined> {
  for (const { holds, hint } of gets)
    if ((await stat(join(folder, holds)).catch(() => undefined)) !== undefined) return hint;
  return undefined;
}
