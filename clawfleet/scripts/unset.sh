# Takes variables out of the GUI domain's environment; what they held goes into this run's backup.
# Set in front of it by the caller: NAMES (joined by |) and WORDS (the names as plist strings).
# Needs commit.sh and domain.sh in front of it too.
found() { launchctl print "$D" | sed -nE "s/^		($NAMES) => (.*)/\1=\2/p"; }
found | while IFS= read -r l; do
  grep -q "^${l%%=*}=" "$B/domain" 2>/dev/null || printf '%s\n' "$l" >> "$B/domain"; done
unfinished
in_domain unsetenv "$WORDS" || exit 1
i=0; while [ -n "$(found)" ]; do
  i=$((i+1)); [ $i -ge 40 ] && { echo "still set in $D after 10 s: $NAMES" >&2; exit 1; }
  sleep 0.25; done
