/**
 * A program that replaces runc in containers that may neither set a host name nor make a session keyring. It
 * removes the host name from the bundle's config.json, and passes `--no-new-keyring` to `runc run`. The pattern can
 * only match the field itself: JSON escapes the quotes of a text that contains the field's name.
 */
export const runcShim = `#!/bin/sh
set -eu
count=$# before=
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  set -- "$@" "$word"
  if [ "$before" = --bundle ]; then
    sed -i 's/"hostname":"[^"]*",//' "$word/config.json"
  elif [ "$word" = run ]; then
    set -- "$@" --no-new-keyring
  fi
  before=$word count=$((count - 1))
done
exec runc "$@"
`;
