# shellcheck shell=sh
# What check, in, out, build and validate share. Each has found itself through symlinks and says so in $self.

# tune COMMAND [from-snapshot]: sets $options to the command's options of Node, and GLIBC_TUNABLES if it isn't set yet.
tune() {
  # Megabytes that a thread's new objects fill before those in use are moved on. An unpacking has several threads, and
  # with Node's 16 the heap of a large root filesystem grows by twice what it holds; with 1 it takes no longer. The
  # others are short, and would spend a tenth of their time on moving objects.
  small=--max-semi-space-size=1 large=--min-semi-space-size=16
  # Megabytes that a thread's old objects fill before garbage is first collected. By itself V8 chooses by what has
  # happened so far, and in half of the gets of a million folders 10 MB in use become 42.
  patient=--initial-old-space-size=32
  # All threads take memory from one heap of glibc's. With one each, 5 to 15 MB more stay unused, and nothing is
  # quicker.
  one_heap=glibc.malloc.arena_max=1
  # Node reads the snapshot into memory and copies it. If glibc asks for huge pages, the kernel hands these 15 MB out
  # in 8 pieces and not in 3,000, which saves 9 ms of processor time. Go's programs don't use glibc.
  huge_pages=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432
  # Sparkplug would compile 650 functions in 8 ms, most of which run a few times. V8's other compilers stay.
  no_baseline=--no-sparkplug
  case $1:${2-} in
    in:* | build:)                             options="$small $patient"     tunables=$one_heap ;;
    check:from-snapshot | out:from-snapshot)   options="$large $no_baseline" tunables=$huge_pages ;;
    *)                                         options=$large                tunables= ;;
  esac
  if [ -n "$tunables" ]; then export GLIBC_TUNABLES="${GLIBC_TUNABLES:-$tunables}"; fi
}

# has_snapshot COMMAND: whether the command can start from the snapshot, $blob.
has_snapshot() {
  case $1 in
    check | in | out) ;;
    *) return 1 ;;
  esac
  # A snapshot works only with the Node that made it, and has that program's time.
  blob=$here/dist/main.blob node=$(command -v node)
  [ -f "$blob" ] && ! [ "$blob" -nt "$node" ] && ! [ "$blob" -ot "$node" ]
}

# launch COMMAND [ARGUMENT...]: becomes the program, so that Concourse's SIGTERM reaches it.
launch() {
  here=${self%/*}
  if [ -f "$here/dist/main.mjs" ]; then
    # The resource's image: the bundle lies beside the launchers, Node and the tools are on PATH.
    if ! command -v node >/dev/null; then
      echo "error: there is no node on PATH (${PATH-not set}); the resource's image has it in /usr/local/bin: keep that folder on PATH" >&2
      exit 1
    fi
    export NODE_COMPILE_CACHE="$here/cache"
    if has_snapshot "$1"; then
      tune "$1" from-snapshot
      # shellcheck disable=SC2086 # Options are words.
      exec node $options --snapshot-blob "$blob" "$here/dist/main.mjs" "$@"
    fi
    tune "$1"
    # shellcheck disable=SC2086 # Options are words.
    exec node $options "$here/dist/main.mjs" "$@"
  fi
  # The folder may be a link.
  root=$(CDPATH='' cd -P -- "$here/.." && pwd -P) || exit 1
  export PATH="$root/node_modules/.bin:$root/.tools/bin:$PATH:/usr/sbin:/sbin"
  if [ ! -d "$root/node_modules" ]; then
    echo "$1: this checkout is not set up yet: run \"npm run setup\" in $root" >&2
    exit 1
  fi
  if [ ! -x "$root/node_modules/.bin/node" ]; then
    version=$(node --version 2>/dev/null)
    major=${version#v}
    if [ "${major%%.*}" -lt 24 ] 2>/dev/null || [ -z "$version" ]; then
      echo "$1: needs Node.js 24 or newer, found ${version:-none}: run \"npm run setup\" in $root" >&2
      exit 1
    fi
  fi
  tune "$1"
  # shellcheck disable=SC2086 # Options are words.
  NODE_COMPILE_CACHE=$root/.tools/compile-cache exec node $options "$root/src/main.ts" "$@"
}
