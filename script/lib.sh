# Sourced by the scripts beside it, from whatever folder they are started in.
# shellcheck shell=sh

set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
python=$root/.venv/bin/python
# A network that hangs must not hang the script for ever; no question is ever asked.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') red=$(printf '\033[31m')
    green=$(printf '\033[32m') yellow=$(printf '\033[33m') plain=$(printf '\033[0m')
else
    bold='' dim='' red='' green='' yellow='' plain=''
fi

heading() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '   %s\n' "$*"; }
good() { printf '   %s%s%s\n' "$green" "$*" "$plain"; }
warn() { printf '%s!! %s%s\n' "$yellow" "$*" "$plain" >&2; }
fail() {
    printf '%s%s: %s%s\n' "$red" "$(basename "$0")" "$*" "$plain" >&2
    exit 1
}

# quietly LOG COMMAND...: the command with its output in a file, of which the end is shown
# only when it fails.
quietly() {
    quiet_log=$1
    shift
    quiet_lines=$(wc -l 2>/dev/null <"$quiet_log") || quiet_lines=0
    if "$@" >>"$quiet_log" 2>&1 </dev/null; then
        return 0
    else
        quiet_code=$?
    fi
    printf '%s' "$dim" >&2
    tail -n "+$((quiet_lines + 1))" "$quiet_log" | tail -n 15 | sed 's/^/   | /' >&2
    printf '%s' "$plain" >&2
    warn "failed with exit code $quiet_code: $* (all of its output: $quiet_log)"
    return "$quiet_code"
}

# The Macs of a lab: how a person would reach them.
lab() { "$python" -m tests.lab "$@"; }
