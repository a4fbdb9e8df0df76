import { chmod, copyFile, mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { styleText } from "node:util";
import { execa } from "execa";
import { formatBytes } from "../src/host/format.ts";
import { createPrivateFolder } from "../src/host/private-folder.ts";

/**
 * The demo (`npm run demo`): a put and a get of a small image by the resource's real executables, with the JSON that
 * Concourse sends and receives. Everything happens in a temporary folder, which is removed at the end.
 */
const assets = join(import.meta.dirname, "../assets");

const dockerfile = `FROM scratch AS system
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]

FROM system
ARG GREETING=hello
COPY --chmod=755 greet /usr/bin/greet
RUN echo "$GREETING from an image that BuildKit built" > /etc/greeting
ENV PATH=/bin:/usr/bin
USER 1000
ENTRYPOINT ["greet"]
`;

await using folder = await createPrivateFolder("demo");
const inputs = join(folder.path, "put");
const context = join(inputs, "source");
await mkdir(context, { recursive: true });
await writeFile(join(context, "Dockerfile"), dockerfile);
await writeFile(join(context, "greet"), "#!/bin/sh\ncat /etc/greeting\n");
await copyFile("/bin/busybox", join(context, "busybox"));
await chmod(join(context, "busybox"), 0o755);

const source = { directory: join(folder.path, "builds") };
const delivered = join(folder.path, "get");

say(
  "This is what a Concourse pipeline does with this resource type: a put builds an image, a get delivers it.",
);
title("The Dockerfile, in the input `source`");
console.log(indented(dockerfile));

title("put");
const put = await run("out", inputs, {
  source,
  params: { context: "source", build_args: { GREETING: "good morning" }, labels: { demo: "yes" } },
});

title("get");
await run("in", delivered, { source, version: put["version"], params: { unpack_rootfs: true } });

title("What the next step of the job finds");
for (const line of await listing(delivered)) console.log(`  ${line}`);

title("The image's program, run from rootfs/ as the image's user");
const rootfs = join(delivered, "rootfs");
const { stdout } = await execa("chroot", ["--userspec=1000:1000", rootfs, "/usr/bin/greet"], {
  env: { PATH: `/bin:/usr/bin:${process.env["PATH"] ?? ""}` },
});
console.log(`  ${stdout}`);
say(`\nNext: ${styleText("bold", "npm test")}, and the pipeline in README.md.`);

/** Runs an executable as Concourse does and shows request, log and response. */
async function run(name: "in" | "out", argument: string, request: unknown): Promise<Record<string, unknown>> {
  console.log(quiet(`$ /opt/resource/${name} ${shown(argument)} <<request`));
  console.log(indented(shown(JSON.stringify(request, undefined, 2))));
  const begun = performance.now();
  const result = await execa(join(assets, name), [argument], {
    input: JSON.stringify(request),
    stderr: "inherit",
    reject: false,
  });
  if (result.exitCode !== 0) process.exit(result.exitCode ?? 1);
  console.log(quiet(`response, after ${((performance.now() - begun) / 1000).toFixed(1)} s:`));
  const response = JSON.parse(result.stdout) as Record<string, unknown>;
  console.log(indented(JSON.stringify(response, undefined, 2)));
  return response;
}

async function listing(root: string): Promise<string[]> {
  const lines: string[] = [];
  for (const name of (await readdir(root)).toSorted()) {
    const path = join(root, name);
    const found = await stat(path);
    const size = found.isDirectory() ? `${(await readdir(path)).length} entries` : formatBytes(found.size);
    lines.push(`${`${relative(root, path)}${found.isDirectory() ? "/" : ""}`.padEnd(16)}${quiet(size)}`);
  }
  return lines;
}

function title(text: string): void {
  console.log(`\n${styleText(["bold", "cyan"], text)}`);
}

function say(text: string): void {
  console.log(text);
}

function quiet(text: string): string {
  return styleText("dim", text);
}

function indented(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, "  ");
}

/** Concourse's own paths in place of the demo's. */
function shown(text: string): string {
  return text.replaceAll(inputs, "/tmp/build/put").replaceAll(delivered, "/tmp/build/get");
}
