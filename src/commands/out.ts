import { UserError } from "../host/errors.ts";
import { readTree, versionOf } from "../image/resolve.ts";
import { readOutRequest } from "../request/out-request.ts";
import type { Invocation } from "./invocation.ts";
import { openStore } from "./open-store.ts";
import { type MetadataField, putMetadata } from "./put-metadata.ts";
import { runBuild } from "./run-build.ts";

/**
 * `out`: builds what the params ask for, stores it, and answers with its version.
 * Argument: the put's folder, in which each input lies by its name.
 */
export async function put({ host, args, readInput }: Invocation): Promise<{
  readonly version: { readonly digest: string };
  readonly metadata: readonly MetadataField[];
}> {
  const { source, params } = readOutRequest(await readInput());
  const [folder] = args;
  if (folder === undefined)
    throw new UserError("expected the folder of the put's inputs as the first argument");
  await using store = await openStore(source, host);
  await using built = await runBuild({
    host,
    options: params,
    folder: { path: folder, step: "put" },
    access: source.registryAccess,
    remote: source.buildkit,
    buildkitConfig: source.buildkitConfig,
    keptState: undefined,
    store,
  });
  const { stage, results } = built;
  const [main, ...others] = results.map(({ target, descriptor }) => ({ name: target, descriptor }));
  if (main === undefined) throw new Error("a build gave no result");
  const tree = await readTree(stage.blobs, main.descriptor, host.signal);
  const version = versionOf(tree);
  const delivery = {
    unpackRootfs: params.unpackRootfs,
    outputOci: params.outputOci || tree.images.length > 1,
  };
  await stage.commit({ version, targets: [main, ...others], delivery }, params.tags);
  host.log.line(`stored ${version} in ${store.where}`);
  return { version: { digest: version }, metadata: putMetadata(tree, results) };
}
