import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { buildGoProgram } from "../runs/go-program.ts";
import { pushLayout, writeLayout } from "./image-writer.ts";

/** The frontends that frontends/main.go has. */
export type FrontendName = "dockerfile" | "steps";

/**
 * Pushes the image of a frontend, as `# syntax=` names it, to a registry of the test.
 * @param folder for the image's layout
 * @returns its reference
 */
export async function pushFrontend(name: FrontendName, host: string, folder: string): Promise<string> {
  const source = join(import.meta.dirname, "frontends/main.go");
  const program = await readFile(await buildGoProgram({ name: "frontends", source, withModules: true }));
  const layout = await writeLayout(join(folder, `frontend-${name}`), {
    layers: [[{ name: "frontends", mode: 0o755, content: program }]],
    config: { Entrypoint: ["/frontends", name], ...(name === "dockerfile" ? { Labels: ofDocker } : {}) },
  });
  const reference = `${host}/frontends/${name}:1`;
  await pushLayout(layout.folder, reference);
  return reference;
}

/** What Docker's image of it says that it can do (BuildKit, frontend/dockerfile/cmd/dockerfile-frontend/Dockerfile). */
const ofDocker = {
  "moby.buildkit.frontend.network.none": "true",
  "moby.buildkit.frontend.caps":
    "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts",
};
