import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { shell } from "../runs/put-and-get.ts";
import type { Container, Ended, ExecOptions } from "./container.ts";

/** Gives the container an input `app`: busybox, and a Dockerfile that begins with {@link shell}. */
export async function writeApp(container: Container, dockerfile: string): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await copyFile("/bin/busybox", join(app, "busybox"));
  await writeFile(join(app, "Dockerfile"), shell + dockerfile);
  await container.own(container.build);
}

type Fields = Readonly<Record<string, unknown>>;

/** The arguments by which a put of the input `app` is run or started in a container. */
export function putOf(source: Fields, params: Fields = {}): readonly [readonly string[], ExecOptions] {
  const request = { source, params: { context: "app", ...params } };
  return [
    ["/opt/resource/out", "/tmp/build/put"],
    { input: JSON.stringify(request), env: { NO_COLOR: "1" } },
  ];
}

/** Runs a put to its end. */
export function putIn(container: Container, source: Fields, params: Fields = {}): Promise<Ended> {
  return container.exec(...putOf(source, params));
}

/** The paths of all files of the container's own, without those of the folders that it has from elsewhere. */
export async function filesIn(container: Container): Promise<ReadonlySet<string>> {
  const { exitCode, stdout, stderr } = await container.exec(["find", "/", "-xdev"]);
  if (exitCode !== 0) throw new Error(stderr);
  return new Set(stdout.split("\n").filter(Boolean));
}
