# Puts everything that the gateway starts from back as it was before a run. Exit code 0: it is back;
# 3: that run had changed nothing of it; 1: something could not be put back.
# Set in front of it by the caller: RUN. Needs domain.sh in front of it too.
umask 077
B="$HOME/.clawfleet/backups/$RUN/gateway"
[ -f "$B/list" ] || [ -f "$B/domain" ] || exit 3
touch "$B/list"
rm -f "$B/moving"
r=3
while IFS='	' read -r e n p; do
  [ -e "$B/$n.due" ] || continue
  [ $r -eq 1 ] || r=0
  # Neither as it was nor as the run wrote it: OpenClaw or a person was there meanwhile.
  [ ! -e "$p" ] || cmp -s "$p" "$B/$n" || cmp -s "$p" "$B/$n.after" || {
    cp -p "$p" "$B/$n.since" && say "$p was written by someone else meanwhile; that is kept in $B/$n.since"; }
  own "$p" rm -f "$p".clawfleet-*   # cp would write through a link that lies there, and wait at a pipe
  if [ "$e" = yes ]; then like "$B/$n" "$p.clawfleet-$RUN" && own "$p" mv -f "$p.clawfleet-$RUN" "$p" || { own "$p" rm -f "$p.clawfleet-$RUN"; r=1; }
  else own "$p" rm -f "$p" || r=1; fi
done < "$B/list"
if [ -f "$B/domain" ]; then
  [ $r -eq 1 ] || r=0
  # A command line can be read by everybody on the Mac, so what holds a password stays out of it.
  grep '@' "$B/domain" | sed 's/=.*//' | while read -r n; do
    say "$n of $D held a password and was not set again; it is in $B/domain"; done
  # A name alone: the variable was not there.
  w=$(grep -v '=' "$B/domain" | sed 's|.*|<string>&</string>|')
  [ -z "$w" ] || in_domain unsetenv "$w" || r=1
  w=$(grep '=' "$B/domain" | grep -v '@' | sed 's/&/\&amp;/g;s/</\&lt;/g;s/>/\&gt;/g;s|^\([^=]*\)=\(.*\)|<string>\1</string><string>\2</string>|')
  [ -z "$w" ] || in_domain setenv "$w" || r=1
fi
exit $r
