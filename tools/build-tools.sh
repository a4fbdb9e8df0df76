#!/bin/sh
# Builds programs from the Go modules in this folder:
#
#   sh tools/build-tools.sh FOLDER NAME...
#
# buildctl, buildkitd, runc, regctl, registry and crane come from the packages that go.mod names as tools, runsc from
# the module in runsc/. Some of that source is edited before: see edit/. Needs Go; for runc also gcc, and libc's and
# libseccomp's static libraries.
set -eu
folder=$(mkdir -p "$1" && CDPATH='' cd -- "$1" && pwd -P)
shift
cd -- "$(dirname -- "$0")"
export GOWORK=off

# package NAME: the package that makes the program of that name.
package() { awk -v name="$1" '$1 !~ /^\/\// && $1 ~ "/" name "$" && NF == 1 { print $1; exit }' go.mod; }

# build CGO MODULE FLAGS... PACKAGES...
build() {
  cgo=$1 module=$2
  shift 2
  [ -d "$edited/$module" ] || go run ./edit "$module" "$edited/$module"
  CGO_ENABLED=$cgo go build -C "$module" -modfile="$edited/$module/go.mod" -v -trimpath -o "$folder/" "$@"
}

# version MODULE NAME: what the go.mod of a module in this folder says of another.
version() { go list -C "$1" -m -f '{{.Version}}' "$2"; }

edited=$(cd .. && pwd -P)/.tools/edited
trap 'rm -rf "$edited"' EXIT
packages=
for name; do
  case $name in
  # Its C code makes the namespaces. Static, so that it runs wherever the others do.
  runc) build 1 . -tags 'seccomp runc_nocriu urfave_cli_no_docs netgo osusergo' -ldflags '-s -w -extldflags -static' "$(package runc)" ;;
  runsc) build 0 runsc -ldflags "-s -w -X gvisor.dev/gvisor/runsc/version.version=$(version runsc gvisor.dev/gvisor)" . ;;
  *) packages="$packages $(package "$name")" ;;
  esac
done
[ -n "$packages" ] || exit 0
# shellcheck disable=SC2086 # Packages are words.
build 0 . -tags grpcnotrace -ldflags "-s -w -X github.com/moby/buildkit/version.Version=$(version . github.com/moby/buildkit)" $packages
