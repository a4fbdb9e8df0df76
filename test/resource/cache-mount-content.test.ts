import assert from "node:assert/strict";
import { test } from "node:test";
import { said } from "../support/runs/mount-builds.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { responseOf } from "../support/runs/resource.ts";
import { startRegistry } from "../support/servers/registry.ts";

/** What a mount is filled with, once, and a listing of everything that should come back. */
const fill = `cd /odd
line='two
lines'
echo 1 > "$line"; echo 2 > '  blanks '; echo 3 > 'é ☃'; printf 4 > "$(printf '\\377\\001')"; echo 5 > -rf; echo 6 > '*'
name=$(printf 'n%.0s' $(seq 200))
echo 7 > "$name$(printf 'm%.0s' $(seq 55))"
(for i in $(seq 15); do mkdir $name && cd $name; done; echo 8 > deep)
truncate -s 30000000 sparse; echo end >> sparse
echo 9 > linked; ln linked again; ln -s ../../etc/passwd out; ln -s / root; ln -s nowhere broken
mkfifo pipe; mknod null c 1 3; mkdir -m 1777 sticky; mkdir empty; touch none; chmod 0 none`;
const list = `cd /odd
find . ! -type s ! -type l -exec stat -c '%F %a %u:%g %t,%T %n' {} + | sed 's/^regular empty file/regular file/' | sort
find . -type f -exec sha256sum {} + | sort
find . -type l -exec stat -c '%N' {} + | sort
stat -c %h again linked`;

test("odd content of a mount is saved and restored as it is, and what can't be or is too large is left out with a warning", async () => {
  await using registry = await startRegistry();
  const cache = { mounts: { limit: "38m", always: true } };
  const store = { repository: `${registry.host}/team/app`, insecure: true, cache };
  await using site = await makeSite(
    `ARG round
RUN --mount=type=cache,target=/odd --mount=type=cache,target=/hole --mount=type=cache,target=/holes \\
    --mount=type=cache,id="many é",target=/many --mount=type=cache,target=/deep --mount=type=cache,target=/good <<'END'
set -e
exec > /result
echo "$(ls -A /odd | wc -l) $(ls -A /hole /holes /many /deep | grep -c '^[^/]') $(ls /good)"
if [ ! -e /odd/linked ]; then
  ${fill}
  ln -s /odd/socket /dev/log; syslogd; until [ -S /odd/socket ]; do :; done
fi
ls -A /odd | grep -c '^socket$' || :
(${list})
truncate -s 1000000000000 /hole/f
truncate -s 9000000000000 /holes/f; truncate -s 9000000000000 /holes/g
cd /many; seq 10000 | xargs touch
cd /deep; name=$(printf 'n%.0s' $(seq 250)); for i in $(seq 15); do mkdir -p $name && cd $name; done; mkdir -p $name/$name/$name; echo > $name/$name/$name/deep
echo $round > /good/file
END
`,
    store,
  );
  const warnings = [
    "/hole not saved: its 1.0 TB are more than cache.mounts.limit, 38m (39.8 MB): raise it, or let the steps leave less in it",
    "/holes not saved: its 18.0 TB are more than cache.mounts.limit, 38m (39.8 MB): raise it, or let the steps leave less in it",
    '"many é" not saved: its 0 B in 10000 files, folders and links count as 41.0 MB, which is more than cache.mounts.limit, 38m (39.8 MB): raise it, or let the steps leave less in it',
    "/deep not saved: it has folders that can't be read, or paths of more than 4 kB",
  ];
  const listed: string[] = [];
  for (const [round, begun] of ["0 0 ", "19 0 file"].entries()) {
    const run = await site.put({ build_args: { round } });
    responseOf(run);
    assert.deepEqual(
      (run.stderr.match(/^warning: .*/gm) ?? []).toSorted(),
      warnings.map((warning) => `warning: cache mount ${warning}`).toSorted(),
    );
    const [first, ...rest] = (await result(await site.get(run))).split("\n");
    assert.equal(first, begun);
    listed.push(rest.join("\n"));
    assert.match(
      said(run) ?? "",
      round === 0 ? /^cache mounts: 0 restored.*; 2 saved/ : /^cache mounts: 2 restored/,
    );
  }
  const [before = "", after = ""] = listed;
  assert.match(before, /^1\n/);
  assert.equal(after, before.replace("1\n", "0\n"));
});
