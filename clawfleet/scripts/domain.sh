# Sets or unsets variables of the GUI domain, from a job that runs inside it: setenv and unsetenv
# act on the caller's own domain, and an SSH session is not in the GUI's (ollama#3581).
D=gui/$(id -u)
say() { echo "$*" >&2; }
# in_domain VERB WORDS: launchctl's subcommand, and its arguments as plist strings
in_domain() (
  umask 077
  L=ai.clawfleet.domain
  d=$(mktemp -d "${TMPDIR:-/tmp}/clawfleet.XXXXXX") || exit 1
  trap 'launchctl bootout "$D/$L" >/dev/null 2>&1; rm -rf "$d"' EXIT
  cat > "$d/$L.plist" <<END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key><string>$L</string><key>RunAtLoad</key><true/>
<key>ProgramArguments</key><array><string>$(command -v launchctl)</string><string>$1</string>
$2</array></dict></plist>
END
  launchctl bootout "$D/$L" >/dev/null 2>&1
  i=0; until launchctl bootstrap "$D" "$d/$L.plist" 2>"$d/error"; do
    i=$((i+1)); [ $i -ge 40 ] && { cat "$d/error" >&2; exit 1; }; sleep 0.25; done
  # It is over once launchd has counted a run and shows no process.
  i=0; until launchctl print "$D/$L" 2>/dev/null | grep -q '^	last exit code = 0'; do
    i=$((i+1)); [ $i -ge 40 ] && { say "launchctl $1 in $D has not ended after 10 s"; exit 1; }
    sleep 0.25; done
)
