#!/bin/sh
# Proves within a minute that a server computes what Keras computed at export:
#
#   serving/smoke.sh exports/first localhost:8500 --http localhost:8501
#   serving/smoke.sh --help
#
# It calls `mite verify EXPORT --server HOST`. PYTHON names the interpreter that has mite_tf; that of
# .venv here, or python3, by default.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if [ -x "$root/.venv/bin/python" ]; then PYTHON="$root/.venv/bin/python"; fi
fi
case "${1:-}${2:-}" in --help*|-h*) exec "$PYTHON" -m mite_tf.cli verify --help ;; esac
if [ $# -lt 2 ]; then
    echo "usage: $0 EXPORT HOST [options of mite verify]" >&2
    exit 2
fi
export=$1 host=$2
shift 2
exec "$PYTHON" -m mite_tf.cli verify "$export" --server "$host" "$@"
