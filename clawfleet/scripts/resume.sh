# Ends the moves that a run which was cut off had begun: a temporary that is still there was not moved
# (- stands for a file that goes). Needs launchd.sh and commit.sh in front of it.
[ -f "$B/moving" ] || exit 0
stop || { say "$why"; exit 1; }
while IFS='	' read -r h t n p; do
  [ "$t" = - ] || [ -e "$t" ] || continue
  if [ "$(sum "$p")" != "$h" ]; then
    [ "$t" = - ] || { own "$p" rm -f "$t"; say "$p was written by someone else meanwhile and stays"; }
  elif [ "$t" = - ]; then due "$n"; own "$p" rm -f "$p" || exit 1
  else due "$n"; own "$p" mv -f "$t" "$p" || exit 1; fi
done < "$B/moving"
rm -f "$B/moving"
