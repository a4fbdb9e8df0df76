#!/bin/sh
# Brings what the demo, the tests and the benchmark need, then runs the command it is given with all of that on PATH:
#
#   sh tools/setup.sh [command [argument ...]]
#
# npm's dependencies go to node_modules; regctl is taken from PATH when it is new enough, else built from the Go modules
# beside this file into .tools/bin, as are buildctl, buildkitd, runc and gVisor's runsc, whose source is edited, and a
# second registry and crane for the tests; the rest comes from Debian's packages. What is there already is
# left alone, so a second run only looks. Several may run at once: one works, the others wait.
set -eu

regctl_floor=0.9.0
node_floor=24.0.0
go_floor=1.21.0 # From here on Go fetches the newer toolchain that go.mod asks for by itself.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
tools=$root/.tools
# A shell of `su` lacks the sbin folders, where Debian keeps runc.
PATH=$root/node_modules/.bin:$tools/bin:$PATH:/usr/sbin:/sbin
export PATH

# "program package": a program to find on PATH, or a file, and the Debian package that brings it.
needed_from_debian='
gcc gcc
/usr/include/stdlib.h libc6-dev
/usr/include/seccomp.h libseccomp-dev
skopeo skopeo
umoci umoci
mmdebstrap mmdebstrap
docker-registry docker-registry
qemu-aarch64-static qemu-user-static
/var/lib/dpkg/info/busybox-static.list busybox-static
igzip isal
strace strace
zstd zstd
xz xz-utils
bzip2 bzip2
git git
openssl openssl
ssh-agent openssh-client
setpriv util-linux
unshare util-linux
getfattr attr
setcap libcap2-bin
mkfs.ext4 e2fsprogs
mkfs.xfs xfsprogs
mkfs.btrfs btrfs-progs
/usr/bin/time time
/etc/ssl/certs/ca-certificates.crt ca-certificates
/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
'

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# at_least FLOOR VERSION
at_least() { [ -n "$2" ] && printf '%s\n%s\n' "$1" "$2" | sort -V -C; }

# first_version COMMAND...: the first thing like 1.2.3 that the command prints, if it runs at all.
first_version() { "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9]+(\.[0-9]+)?' | head -n 1; }

# pinned MODULE: its version in tools/go.mod, without the v.
pinned() { sed -n "s|^[[:space:]]*$1 v\([^ ]*\).*|\1|p" tools/go.mod; }

missing_packages() {
  printf '%s' "$needed_from_debian" | while read -r needed package; do
    case $needed in
    '') ;;
    /*) [ -e "$needed" ] || printf '%s\n' "$package" ;;
    *) command -v "$needed" >/dev/null || printf '%s\n' "$package" ;;
    esac
  done | sort -u | tr '\n' ' '
}

# edits_key: tells one state of what is built from edited source from another, and of how it is built.
edits_key() { cat tools/build-tools.sh tools/go.mod tools/runsc/go.mod tools/runsc/*.go tools/edit/*.go | cksum; }

# tool_is_good NAME: ours is good when it is what tools/go.mod pins; one from PATH when it isn't below the floor.
tool_is_good() {
  case $1 in
  # They tell no version, but Go writes the module's into the program.
  registry | crane)
    grep -aqF "go-containerregistry	v$(pinned github.com/google/go-containerregistry)" "$tools/bin/$1" 2>/dev/null
    return
    ;;
  # Those from elsewhere lack our edits.
  buildctl | buildkitd | runc | runsc)
    [ -x "$tools/bin/$1" ] && [ "$(edits_key)" = "$(cat "$tools/edits.key" 2>/dev/null)" ]
    return
    ;;
  esac
  if [ -x "$tools/bin/regctl" ]; then
    [ "$(first_version "$tools/bin/regctl" version)" = "$(pinned github.com/regclient/regclient)" ]
  else
    command -v regctl >/dev/null && at_least "$regctl_floor" "$(first_version regctl version)"
  fi
}

missing_tools() {
  for tool in buildctl buildkitd runc runsc regctl registry crane; do
    tool_is_good "$tool" || printf '%s ' "$tool"
  done
}

dependencies_are_there() { cmp -s package-lock.json node_modules/.installed-package-lock.json; }
node_is_good() { at_least "$node_floor" "$(first_version node --version)"; }

# with_progress WHAT LOG COMMAND...: runs the command with its words in LOG and says every ten seconds that it goes on.
child=
with_progress() {
  what=$1 log=$2
  shift 2
  say "$what ..."
  "$@" >"$log" 2>&1 &
  child=$! ticks=0
  while kill -0 "$child" 2>/dev/null; do
    sleep 0.2
    ticks=$((ticks + 1))
    [ $((ticks % 50)) -ne 0 ] || say "$what: $((ticks / 5)) s $(grep -v '^npm' "$log" | tail -n 1 | tr -d '\r' | cut -c 1-80)"
  done
  status=0
  wait "$child" || status=$?
  child=
  [ "$status" -eq 0 ] || return "$status"
  say "$what: done"
}

# last_words LOG PATTERN: the first line that says what went wrong, else the last line.
last_words() {
  words=$(grep -E "$2" "$1" | head -n 1 | tr -d '\r')
  [ -n "$words" ] || words=$(grep -v '^[[:space:]]*$' "$1" | tail -n 1 | tr -d '\r')
  printf '%s' "$words" | cut -c 1-300
}

bring_packages() {
  packages=$(missing_packages)
  [ -n "$packages" ] || return 0
  command -v apt-get >/dev/null ||
    fail "this machine has no apt-get to bring what the tests need: install the equivalents of these Debian packages and run again: $packages"
  export DEBIAN_FRONTEND=noninteractive
  log=$tools/apt.log
  # shellcheck disable=SC2086 # Package names are words.
  with_progress "fetching Debian's package lists" "$log" apt-get update --error-on=any -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 &&
    with_progress "installing $packages" "$log" apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Acquire::Retries=2 $packages ||
    fail "apt-get could not bring $packages(\"$(last_words "$log" '^[EW]: ')\"): check that this machine reaches its Debian mirror and run again (its log: .tools/apt.log)"
}

bring_dependencies() {
  dependencies_are_there && return 0
  command -v npm >/dev/null || fail "there is no npm on PATH to bring the dependencies: install Node.js with npm and run again"
  # The usual pauses between tries add up to minutes of silence when there is no network.
  with_progress "npm ci (a folder of dependencies and a Node of version 24)" "$tools/npm.log" \
    npm ci --no-audit --no-fund --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=3000 ||
    fail "npm ci failed (\"$(last_words "$tools/npm.log" 'npm (error|ERR!).*(request to|network|E[A-Z]{4,}|not found)')\"): check that this machine reaches its npm registry and run again (its log: .tools/npm.log)"
  cp package-lock.json node_modules/.installed-package-lock.json
}

bring_tools() {
  names=$(missing_tools)
  [ -n "$names" ] || return 0
  command -v go >/dev/null ||
    fail "there is no Go on PATH to build ${names}with: install Go (https://go.dev/dl) and run again"
  go_version=$(first_version go version)
  at_least "$go_floor" "$go_version" ||
    fail "Go $go_version is too old to build ${names}with: install Go $go_floor or newer (https://go.dev/dl) and run again"
  fresh=$tools/bin.$$ key=$(edits_key)
  mkdir -p "$fresh"
  with_progress "building ${names}(once; a few minutes)" "$tools/go.log" sh tools/build-tools.sh "$fresh" $names ||
    fail "go could not build $names(\"$(last_words "$tools/go.log" '^edit: |dial tcp|lookup|requires go|toolchain|^go: [^d]|no space')\"): check that this machine reaches its Go module proxy and run again (its log: .tools/go.log)"
  mkdir -p "$tools/bin"
  for name in $names; do mv -f "$fresh/$name" "$tools/bin/$name"; done
  printf '%s\n' "$key" >"$tools/edits.key"
  rmdir "$fresh"
}

stop() {
  [ -z "$child" ] || kill "$child" 2>/dev/null || :
  [ -z "${fresh:-}" ] || rm -rf "$fresh"
}

[ "$(uname -s)" = Linux ] || fail "building images needs Linux, this is $(uname -s)"
[ "$(id -u)" = 0 ] || fail "building images means mounting filesystems, which needs root: run this again as root (sudo)"

everything_is_there() {
  [ -z "$(missing_packages)" ] && dependencies_are_there && node_is_good && [ -z "$(missing_tools)" ]
}

if ! everything_is_there; then
  mkdir -p "$tools"
  trap stop EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if command -v flock >/dev/null; then
    exec 9>"$tools/lock"
    flock -n 9 || { say "another set-up is at work: waiting for it ..." && flock 9; }
  fi
  # The children get no copy of the lock: what they leave running must not hold it.
  bring_packages 9>&-
  bring_dependencies 9>&-
  bring_tools 9>&-
  node_is_good ||
    fail "node is $(node --version 2>/dev/null || echo missing) and npm did not bring version 24 (is \"ignore-scripts\" set?): install Node.js $node_floor or newer, or run npm ci with scripts"
  [ ! -e "$tools/lock" ] || exec 9>&-
  trap - EXIT INT TERM HUP
  say "ready"
fi
unshare --mount true 2>/dev/null ||
  fail "this container or machine doesn't let root mount filesystems, which building images needs: give it CAP_SYS_ADMIN (docker run --privileged) and run again"

# Node keeps the code that it has compiled of each module here, so that the many processes of the tests start sooner.
[ $# -eq 0 ] || NODE_COMPILE_CACHE=${NODE_COMPILE_CACHE:-$tools/compile-cache} exec "$@"
