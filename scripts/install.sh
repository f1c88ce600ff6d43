#!/usr/bin/env bash
# Installs a lock file and this checkout into .venv: scripts/install.sh requirements.lock
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "patron: $*" >&2; exit 1; }

find_python() {
    for name in "${PYTHON:-}" python3.13 python3.12 python3.11 python3 python; do
        if [ -n "$name" ] && "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    say "no Python 3.11, 3.12 or 3.13 was found; install one, or name it: make up PYTHON=/path/to/python3"
}

if ! .venv/bin/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        say "this Python cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv"
    "$python" -m venv --clear .venv
fi

total=$(grep -c '==' "$1")
# Shows pip's long report as one moving line; its errors are shown whole.
show() {
    local n=0 line
    while IFS= read -r line; do
        case $line in
            Collecting* | Requirement\ already*)
                n=$((n + 1))
                [ -t 2 ] && printf '\r\033[K  %d of at most %d: %s' "$n" "$total" "$(cut -c1-60 <<<"$line")" >&2
                ;;
            Installing*) [ -t 2 ] && printf '\r\033[K  unpacking (a minute or so)' >&2 ;;
            ERROR* | error* | *rror:*) printf '\n%s\n' "$line" >&2 ;;
        esac
    done
    [ -t 2 ] && printf '\r\033[K' >&2
    return 0
}

echo "installing $1 into .venv (a few minutes the first time)"
# Every file is named by its hash, so pip need not, and must not, look for anything else.
.venv/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r "$1" 2>&1 | show ||
    say "the packages of $1 could not be installed; the lines above say why"
if ! .venv/bin/python -c 'import lightgbm' 2>/dev/null; then
    .venv/bin/python -c 'import lightgbm' 2>&1 | grep -q libgomp &&
        say "the system library libgomp is missing; on Debian or Ubuntu: apt-get install libgomp1"
    say "LightGBM cannot be imported: $(.venv/bin/python -c 'import lightgbm' 2>&1 | tail -n 1)"
fi
# This checkout itself: a path file and a command, no build step and so no build tool.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pwd > "$site/patron.pth"
cat > .venv/bin/patron <<EOF
#!$(pwd)/.venv/bin/python
import sys
from patron import main
if __name__ == "__main__":  # workers of a service import this file again
    sys.exit(main())
EOF
chmod +x .venv/bin/patron
