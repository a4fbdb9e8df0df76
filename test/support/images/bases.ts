import { busyboxLayer, type ImageRecipe, nativePlatform } from "./image-writer.ts";

/** An architecture that isn't this machine's. */
export const otherArchitecture = nativePlatform.architecture === "amd64" ? "s390x" : "amd64";

/** A base image of this machine's platform, with a shell. Its file `/base` says `base`. */
export const ownBase: ImageRecipe = {
  layers: [[...(await busyboxLayer()), { name: "base", content: "base\n" }]],
};

/** One of another platform, without a program. Its file `/base` says `other`. */
export const otherBase: ImageRecipe = {
  platform: { os: "linux", architecture: otherArchitecture },
  layers: [[{ name: "base", content: "other\n" }]],
};
