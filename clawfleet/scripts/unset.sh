# Takes variables out of the GUI domain's environment, from a job that runs inside it.
# Set in front of it by the caller: NAMES (joined by |) and WORDS (the names as plist strings).
set -u
umask 077
D=gui/$(id -u); L=ai.clawfleet.unset-proxies
d=$(mktemp -d "${TMPDIR:-/tmp}/clawfleet.XXXXXX") || exit 1
trap 'launchctl bootout "$D/$L" >/dev/null 2>&1; rm -rf "$d"' EXIT
cat > "$d/$L.plist" <<END
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict><key>Label</key><string>$L</string><key>RunAtLoad</key><true/>
<key>ProgramArguments</key><array><string>$(command -v launchctl)</string><string>unsetenv</string>
$WORDS</array></dict></plist>
END
chmod 644 "$d/$L.plist"
launchctl bootout "$D/$L" >/dev/null 2>&1
i=0; until launchctl bootstrap "$D" "$d/$L.plist" 2>"$d/error"; do
  i=$((i+1)); [ $i -ge 40 ] && { cat "$d/error" >&2; exit 1; }; sleep 0.25; done
i=0; while launchctl print "$D" | grep -E "^		($NAMES) => " >/dev/null; do
  i=$((i+1)); [ $i -ge 40 ] && { echo "still set in $D after 10 s: $NAMES" >&2; exit 1; }
  sleep 0.25; done
