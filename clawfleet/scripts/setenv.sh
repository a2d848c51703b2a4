# Sets variables in the GUI domain; what they held before goes into this run's backup (only the name
# where there was none), and what was set into ~/.clawfleet/domain.
# Set in front of it by the caller: NAMES (joined by |), WORDS (names and values as plist strings),
# WANT (NAME=value, one in a line, sorted) and OURS. Needs commit.sh and domain.sh in front of it too.
found() { launchctl print "$D" | sed -nE "s/^		($NAMES) => (.*)/\1=\2/p" | sort -u; }
IFS='|'; set -f; for n in $NAMES; do
  grep -Eq "^$n(=|\$)" "$B/domain" 2>/dev/null && continue
  l=$(found | grep "^$n=") || l=$n
  printf '%s\n' "$l" >> "$B/domain" || exit 1
done; unset IFS; set +f
unfinished
printf '%s' "$OURS" > "$HOME/.clawfleet/domain.new" && mv -f "$HOME/.clawfleet/domain.new" "$HOME/.clawfleet/domain" || exit 1
in_domain setenv "$WORDS" || exit 1
i=0; until [ "$(found)" = "$WANT" ]; do
  i=$((i+1)); [ $i -ge 40 ] && { echo "not set in $D after 10 s: $NAMES" >&2; exit 1; }
  sleep 0.25; done
