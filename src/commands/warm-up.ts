import { readCheckRequest } from "../request/check-request.ts";
import { readOutRequest } from "../request/out-request.ts";
import { putRules } from "./put-rules.ts";

/**
 * Loads what a check and a put need, and reads a request, so that a start-up snapshot that is made now holds it
 * loaded and compiled. Opens nothing, and takes nothing from the environment: that would be in the snapshot as well.
 */
export async function warmUp(): Promise<void> {
  await Promise.all([
    import("./check.ts"),
    import("./out.ts"),
    import("../store/directory/directory-store.ts"),
    import("../store/registry/registry-store.ts"),
  ]);
  const places = [
    { directory: "/builds" },
    { repository: "registry.example/app", username: "me", password: "secret" },
  ];
  for (const place of places) {
    const source = { ...place, buildkit: { address: "tcp://buildkit.example:1234" }, keep: { builds: 1 } };
    readOutRequest(JSON.stringify({ source, params: { context: "app" } }), putRules);
    readCheckRequest(JSON.stringify({ source, version: null }));
  }
}
