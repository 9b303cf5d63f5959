#!/bin/sh
# Signs a program or a package for Windows in place with Authenticode; make dist calls it
# by SIGN_WINDOWS='sh installer/windows/sign.sh'. CERTIFICATE is the certificate and its
# chain and KEY its key, both PEM; TIMESTAMP_URL an RFC 3161 server, without which the
# signature ends with the certificate. A key in a token: see osslsigncode's -pkcs11module.
set -eu
: "${CERTIFICATE:?sign.sh: CERTIFICATE must name a PEM file}" "${KEY:?sign.sh: KEY must name a PEM file}"
signed=$(mktemp "$1.XXXXXX")
trap 'rm -f "$signed"' EXIT
rm -f "$signed" # osslsigncode does not overwrite
osslsigncode sign -certs "$CERTIFICATE" -key "$KEY" -h sha256 -n Tidemark ${TIMESTAMP_URL:+-ts "$TIMESTAMP_URL"} -in "$1" -out "$signed" >/dev/null
mv "$signed" "$1"
