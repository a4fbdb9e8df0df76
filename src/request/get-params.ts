import * as z from "zod";
import { platformPattern } from "../image/platform.ts";
import { parseKnownPlatform } from "../image/platform-names.ts";
import { flag, readBy } from "./scalars.ts";

/** A get's params: field → schema. `unpack_rootfs` and `output_oci` default to what the put recorded. */
export const getFields = {
  unpack_rootfs: flag
    .optional()
    .describe("Also unpack the image's root filesystem into `rootfs/`. Default: what the put said."),
  output_oci: flag
    .optional()
    .describe("Deliver `image/`, an OCI layout, instead of image.tar. Default: what the put said."),
  skip_download: flag
    .default(false)
    .describe(
      "Deliver only `digest`, `reference`, `repository`, `tag` and `build.json`, in one request. For the get that follows a put when no step needs the image.",
    ),
  platform: z
    .string()
    .regex(new RegExp(`^${platformPattern}$`), {
      error: "expected os/architecture[/variant], as in linux/arm64",
    })
    .transform(readBy(parseKnownPlatform))
    .optional()
    .describe("Deliver only the image of this platform, such as `linux/arm64`."),
  image_tar: flag.default(true).describe("`false`: don't deliver the image itself, only the other files."),
};

export const GetParams = z.strictObject(getFields).transform((given) => ({
  unpackRootfs: given.unpack_rootfs,
  outputOci: given.output_oci,
  skipDownload: given.skip_download,
  platform: given.platform,
  imageTar: given.image_tar,
}));
export type GetParams = z.infer<typeof GetParams>;
