# Puts every file that the gateway reads back as it was before that run; exit code 1 when one fails.
# Set in front of it by the caller: RUN.
set -u
umask 077
B="$HOME/.clawfleet/backups/$RUN"
[ -f "$B/gateway" ] || exit 0
r=0
while IFS='	' read -r e n p; do
  if [ "$e" = yes ]; then cp -p "$B/$n" "$p.clawfleet-$RUN" && mv -f "$p.clawfleet-$RUN" "$p" || r=1
  else rm -f "$p" || r=1; fi
done < "$B/gateway"
exit $r
