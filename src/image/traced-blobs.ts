import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";
import type { StepContext } from "../host/step-context.ts";
import { untraced } from "../host/trace.ts";
import type { Blobs } from "./blobs.ts";
import { isConfigType, isIndexType, isManifestType } from "./media-types.ts";

/** The same blobs, with a span for each layer that is fetched: from its opening until its last byte has been read. */
export function tracedBlobs(blobs: Blobs, { trace }: Pick<StepContext, "trace">): Blobs {
  if (trace === untraced) return blobs;
  return {
    ...blobs,
    // Otherwise layers would be fetched without being seen here.
    pieces: undefined,
    open(descriptor, signal) {
      const { digest, size, mediaType } = descriptor;
      if (isManifestType(mediaType) || isIndexType(mediaType) || isConfigType(mediaType))
        return blobs.open(descriptor, signal);
      const opened = Promise.withResolvers<Readable>();
      const fetch = async (): Promise<void> => {
        const bytes = await blobs.open(descriptor, signal);
        opened.resolve(bytes);
        await finished(bytes, { writable: false, cleanup: true });
      };
      trace("fetch layer", fetch, { "layer.digest": digest, "layer.size": size }).catch(opened.reject);
      return opened.promise;
    },
  };
}
