#!/bin/sh
# Makes an authority, a certificate for the daemons of buildkitd.yml and one for Concourse, with openssl:
#   sh certificates.sh FOLDER [NAME...]
# NAME is the host in `address`, by default buildkitd.ci.svc. Then:
#   cd FOLDER
#   kubectl create secret generic -n ci buildkitd-server --from-file=ca.crt --from-file=tls.crt=server.crt --from-file=tls.key=server.key
# client.crt, client.key and ca.crt are the pipeline's `tls: {cert, key, ca}`. Keep ca.key away from the cluster: whoever
# has it can run programs in the pods.
set -eu
umask 077
folder=$1
shift
[ $# -gt 0 ] || set -- buildkitd.ci.svc buildkitd.ci.svc.cluster.local
mkdir -p "$folder"
cd "$folder"
# An authority that exists is used again, so that new certificates work with the daemons that run.
[ -e ca.key ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
  -subj /CN=buildkitd-authority -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt

# issue FILE SUBJECT EXTENSIONS
issue() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr"
  printf 'basicConstraints=critical,CA:FALSE\n%s\n' "$3" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile "$1.ext" -out "$1.crt"
  rm "$1.csr" "$1.ext"
}

names=$(printf ',DNS:%s' "$@")
# Certificates are checked against the name in `address`, whichever daemon answers.
issue server "$1" "extendedKeyUsage=serverAuth
subjectAltName=${names#,}"
issue client concourse extendedKeyUsage=clientAuth
