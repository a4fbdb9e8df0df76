import type { StepContext } from "../host/step-context.ts";
import type { Layer } from "./layer/layer.ts";

/** Runs the unpacking of one layer in a span of its own. */
export function tracedLayer(
  { descriptor, diffId, isProven }: Layer,
  { trace }: Pick<StepContext, "trace">,
  unpack: () => Promise<void>,
): Promise<void> {
  const { digest, size } = descriptor;
  return trace("unpack layer", unpack, {
    "layer.digest": digest,
    "layer.diff_id": diffId,
    "layer.is_proven": isProven,
    "layer.size": size,
  });
}
