#!/usr/bin/env bash
# Make .venv with everything that mixmint needs; `scripts/setup.sh browser` also what tests drive: a browser,
# Go, PostgreSQL's server.
# Installs missing Debian packages where it may (root, or sudo without a password); else says exactly which.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ]; then
    echo "setup: Python 3.11 or newer is missing; on Debian: apt-get install python3 python3-venv python3-dev" >&2
    exit 1
fi

missing=()
# A venv needs ensurepip, which Debian ships apart.
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
# petlib, which sphinxmix needs, is built from source against OpenSSL and Python's headers.
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
[ -f "$headers/Python.h" ] || missing+=(python3-dev)
command -v gcc >/dev/null || missing+=(gcc)
printf '#include <openssl/ec.h>\n' | gcc -E - >/dev/null 2>&1 || missing+=(libssl-dev)
if [ "${1:-}" = browser ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    missing+=(chromium)
fi
# The quick start's commands, which tests type, look at the board with curl.
if [ "${1:-}" = browser ] && ! command -v curl >/dev/null; then
    missing+=(curl)
fi

# A verifier of the board's log is built from the sources that Go's toolchain brings along.
if [ "${1:-}" = browser ] && ! command -v go >/dev/null; then
    missing+=(golang-go)
fi

# Tests run the bank on PostgreSQL too, on a server of their own; Debian keeps its programs off the path.
if [ "${1:-}" = browser ] && ! command -v postgres >/dev/null && ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    missing+=(postgresql)
fi

if [ ${#missing[@]} -gt 0 ]; then
    apt=(apt-get)
    [ "$(id -u)" = 0 ] || apt=(sudo -n apt-get)
    if command -v apt-get >/dev/null && "${apt[@]}" update -qq >/dev/null 2>&1; then
        echo "setup: installing ${missing[*]}"
        DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "setup: please install these first (on Debian: apt-get install ${missing[*]}), then run again" >&2
        exit 1
    fi
fi

stamp=.venv/ready
if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    echo "setup: installing the Python packages into .venv"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 --editable '.[dev]'
    touch "$stamp"
fi
