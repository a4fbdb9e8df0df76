import * as z from "zod";
import { orNone } from "../host/or-none.ts";

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const moment = z.iso.datetime();
const duration = z.number().nonnegative();
const texts = z.record(z.string(), z.string());

const RecordedLayer = z.looseObject({
  digest: digest.describe("Of the layer's compressed bytes."),
  diff_id: digest.describe("Of its plain bytes."),
  size: z.number().int().nonnegative().describe("Compressed bytes."),
  media_type: z.string(),
});

const RecordedImage = z.looseObject({
  platform: z.string().describe("`linux/amd64`."),
  manifest_digest: digest,
  config_digest: digest,
  layers: z.array(RecordedLayer).describe("The lowest first."),
});

const RecordedTarget = z.looseObject({
  name: z.string().describe("The stage; empty for the Dockerfile's last one."),
  digest: digest.optional().describe("Of the manifest or index. Missing if the target was only built."),
  tags: z.array(z.string()).describe("The tags that the put pointed at it."),
  images: z.array(RecordedImage).describe("One for each platform."),
});

const RecordedStep = z.looseObject({
  name: z.string().describe("As in the log: `[build 2/4] RUN make`. Long names are cut."),
  started: moment.optional(),
  seconds: duration.describe("How long BuildKit worked on it."),
  cached: z.boolean().describe("Whether its result was there already."),
  fetched: z.number().int().positive().optional().describe("Bytes of layers that were fetched for it."),
});

/**
 * The content of `build.json`: what was built, from what, how and by whom. It is for people and programs, and
 * nothing in this resource decides by it. Later releases may add fields, so it is read loosely.
 */
export const BuildRecord = z.looseObject({
  schema: z
    .literal(1)
    .describe("The version of this schema. It changes only if a field changes its meaning."),
  started: moment.describe("When the step began to build."),
  seconds: duration.describe("How long the build took, its pushes included."),
  concourse: texts.describe(
    "Concourse's variables of the build, in lower case: `build_id`, `build_job_name`, … Empty for a task that isn't given them.",
  ),
  params: z
    .record(z.string(), z.unknown())
    .describe(
      "What the params asked for, by their names; those that keep their default are left out. Of secrets and keys only the ids are there.",
    ),
  dockerfile: z
    .looseObject({ name: z.string(), text: z.string() })
    .optional()
    .describe("Missing if the Dockerfile is in a git context."),
  build_args: texts.describe("All build args, those from files included."),
  labels: texts.describe("All labels that the step added, those from files and git included."),
  base_images: z
    .array(z.looseObject({ name: z.string(), digest: digest }))
    .describe(
      "The images that the build was made from, and the Dockerfile's frontend, each with what it was.",
    ),
  targets: z.array(RecordedTarget).describe("The main target first."),
  steps: z.array(RecordedStep).describe("By the time when they began."),
  warnings: z.array(z.string()).describe("Findings of BuildKit's checks."),
  tools: z
    .looseObject({
      resource: z.string().optional().describe("The version of this resource."),
      buildctl: z.string().optional().describe("Its version."),
      buildkit: z
        .array(
          z.looseObject({
            where: z.string(),
            version: z.string().optional(),
            runc: z
              .string()
              .optional()
              .describe("The version of the runc that it uses. Missing for a BuildKit elsewhere."),
          }),
        )
        .describe("Which BuildKit built. A version is missing if the program has none."),
    })
    .describe("The programs that built."),
  left_out: z
    .array(z.string())
    .describe("The fields from which something was cut because the record would be too large; else empty."),
});
export type BuildRecord = z.infer<typeof BuildRecord>;

/**
 * Whether a text is a record. What was stored isn't covered by the version's digest, so it may have been replaced.
 */
export function isRecord(text: string): boolean {
  return BuildRecord.safeParse(orNone(() => JSON.parse(text))).success;
}
