#!/usr/bin/env bash
# Prints the file for --ssl_config_file, which holds keys and certificates themselves, not paths.
#
#   ssl_config.sh KEY CERTIFICATE                  clients check the server
#   ssl_config.sh KEY CERTIFICATE CLIENT_CA        clients must show a certificate, too (mutual TLS)
#
# Each is a PEM file. The output holds the private key: write it where only the server reads.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: ssl_config.sh KEY CERTIFICATE [CLIENT_CA]" >&2
    exit 2
fi

field() {
    if ! grep -qs -e '-----BEGIN ' "$2"; then
        echo "ssl_config.sh: $2: is missing or no PEM file." >&2
        exit 2
    fi
    echo "$1:"
    # A text protobuf joins the strings of consecutive lines. What tools write between is left out.
    sed -n -e 's/\r$//' -e '/-----BEGIN /,/-----END /s/.*/  "&\\n"/p' "$2"
}

field server_key "$1"
field server_cert "$2"
if [ $# -eq 3 ]; then
    field custom_ca "$3"
    echo "client_verify: true"
fi
