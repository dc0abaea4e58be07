#!/usr/bin/env bash
# Gets what voxbatch is compared with: curl and GNU parallel from Debian, aiohttp into bench/.venv. What cannot be had is
# left out of the comparison.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
for tool in curl parallel; do command -v "$tool" >/dev/null || missing+=("$tool"); done
if ((${#missing[@]})); then
    apt-get -q update
    apt-get -q install -y --no-install-recommends "${missing[@]}"
fi
[ -x .venv/bin/python3 ] || python3 -m venv .venv
.venv/bin/python3 -m pip install --quiet aiohttp
.venv/bin/python3 -c 'import aiohttp; print("aiohttp", aiohttp.__version__)'
