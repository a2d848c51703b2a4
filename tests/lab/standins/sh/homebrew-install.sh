#!/bin/bash
# The lab's stand-in for Homebrew's install.sh: same checks, same refusals, same closing lines.
set -u

abort() {
  printf "%s\n" "$@" >&2
  exit 1
}

ohai() {
  printf "==> %s\n" "$*"
}

if [ "$(id -u)" = 0 ]; then
  abort "Don't run this as root!"
fi

# Where nothing is isolated the helper is found on PATH, among the stand-ins.
helper=/usr/local/libexec/lab-homebrew-install
[ -x "${helper}" ] || helper="$(command -v lab-homebrew-install)" ||
  abort "This installer works on the lab's simulated Macs only."

if [ -n "${NONINTERACTIVE-}" ]; then
  ohai 'Running in non-interactive mode because `$NONINTERACTIVE` is set.'
else
  [ -t 0 ] || {
    printf 'Warning: %s\n' 'Running in non-interactive mode because `stdin` is not a TTY.' >&2
    NONINTERACTIVE=1
  }
fi

ohai 'Checking for `sudo` access (which may request your password)...'
sudo -n true >/dev/null 2>&1 ||
  abort "Need sudo access on macOS (e.g. the user ${USER} needs to be an Administrator)!"

prefix="$("${helper}" --prefix)"
[ -d "${prefix}" ] || sudo -n mkdir -p "${prefix}" || abort "Failed to create ${prefix}"
[ -w "${prefix}" ] || sudo -n chown "$(id -u)" "${prefix}" || abort "Failed to own ${prefix}"

exec "${helper}"
