import assert from "node:assert/strict";
import { test } from "node:test";
import { execa } from "execa";
import { budgetFor } from "../../../src/builder/cache-mounts/disk-guard.ts";
import { findMounts } from "../../../src/builder/cache-mounts/find-mounts.ts";
import { runTransfer } from "../../../src/builder/cache-mounts/transfer.ts";
import { measuringDockerfile } from "../../../src/builder/cache-mounts/transfer-dockerfile.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { hostPlatform } from "../../../src/image/platform.ts";
import { shell } from "../../support/runs/put-and-get.ts";
import { toolEnvironment } from "../../support/runs/test-step.ts";
import { startTransferDaemon } from "../../support/runs/transfer-daemon.ts";

const long = "long/".repeat(100);

/** Flags of RUN instructions, and lines before them. Each RUN fills the mount at `/m`. */
const runs: readonly string[] = [
  "--mount=type=cache,target=/m",
  '--mount=type=cache,id="a b",target=/m',
  `--mount='type=cache,"id=a,""b""",target=/m'`,
  `--mount="type=cache,id='single quotes',target=/m"`,
  "--mount=type=cache,id=escaped\\ blank,target=/m",
  "--mount=type=cache,id=a#b,target=/m",
  "--mount=type=cache,id=caf\u00e9-\u2713,target=/m",
  "ARG word=\u65e5\u672c\nRUN --mount=type=cache,id=$word,target=/m",
  `ARG word='two words' other\nRUN --mount=type=cache,id=\${word}-\${other:-none}\${unset:-$word}$unset,target=/m`,
  'ARG word="dollar\\$ \\"quoted\\" back\\\\\\\\slash"\nRUN --mount=type=cache,id=$word,target=/m',
  "--mount=type=cache,id=a/../b//c/,target=/m",
  "--mount=type=cache,target=/x/..//m/",
  `--mount=type=cache,id=${long},target=/m`,
  "--mount=type=cache,id=owned,uid=5,target=/m",
  "--mount=type=cache,id=owned,gid=0,target=/m",
  "--mount=type=cache,id=owned,mode=00755,target=/m",
  "--mount=type=cache,id=owned,target=/m,sharing=private",
  "--mount=type=cache,id=owned,uid=5,gid=5,mode=1777,target=/m,sharing=locked",
  "--mount=type=cache,id=read,target=/m --mount=type=cache,id=read,target=/n,readonly",
  "--network=none --mount=type=cache,id=late,target=/m",
];

const fill = "[ -d /m ] && echo content > /m/f";
const dockerfile = `${shell}FROM shell AS base
ONBUILD RUN --mount=type=cache,id=onbuild,target=/m ${fill}
FROM base
${runs.map((run) => (run.startsWith("ARG") ? `${run} ${fill}\n` : `RUN ${run} ${fill}\n`)).join("")}\
RUN --mount=type=cache,id=heredoc,target=/m <<EOF
${fill} && exit
RUN --mount=type=cache,id=in-heredoc,target=/m true
EOF
RUN echo "no <<heredoc begins here" \\
  # a comment
  && true \\\\
RUN --mount=type=cache,id=continued,\\
target=/m ${fill}
`;

test("mounts have the ids that BuildKit gives them, and are found there again, whatever their names are", async () => {
  await using folder = await createPrivateFolder("test-names");
  await using daemon = await startTransferDaemon(folder.path);
  const { context } = daemon;
  const platform = hostPlatform(process.arch);
  const { mounts, leftOut } = findMounts({
    dockerfile,
    buildArgs: {},
    targets: [""],
    platforms: [platform],
    buildPlatform: platform,
  });
  assert.deepEqual(leftOut, []);
  const budget = budgetFor(1e9);
  await runTransfer(context, { dockerfile, budget });
  const { stdout } = await execa("buildctl", [...context.engine.connection, "du", "--verbose"], {
    env: toolEnvironment(),
  });
  const ids = Array.from(stdout.matchAll(/ with id ("(?:\\.|[^"\\])*")$/gm), ([, id = ""]) =>
    (JSON.parse(id) as string).slice(1),
  );
  assert.deepEqual(mounts.map(({ id }) => id).toSorted(), ids.toSorted());
  const { reports } = await runTransfer(context, {
    dockerfile: measuringDockerfile(
      mounts.map((mount) => ({ mount, restored: undefined })),
      { limit: 1e9, nonce: "now" },
    ),
    budget,
  });
  const empty = reports.filter(([, bytes]) => bytes !== "8").map(([index]) => mounts[Number(index)]);
  assert.deepEqual(empty, []);
  assert.equal(reports.length, mounts.length);
});
