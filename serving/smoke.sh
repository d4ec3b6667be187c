#!/bin/sh
# Proves within a minute that a server works with this client:
#
#   serving/smoke.sh localhost:8500 --http localhost:8501 --export exports/first
#   serving/smoke.sh --help
#
# PYTHON names the interpreter that has mite_tf; that of .venv here, or python3, by default.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x "$root/.venv/bin/python" ]; then PYTHON="$root/.venv/bin/python"; fi
fi
exec "$PYTHON" -m mite_tf.serving.smoke "$@"
