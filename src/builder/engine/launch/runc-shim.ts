/**
 * A program in the place of runc, for containers that may neither set a host name nor make a session keyring: it takes
 * the host name out of the bundle's config.json and tells `runc run` to leave the keyring. A text that holds the field's
 * name has its quotes escaped in JSON, so the pattern meets the field alone.
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
