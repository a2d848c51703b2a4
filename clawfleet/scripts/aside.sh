# Puts blobs of a wrong size aside, as a pull would take each for a whole one.
# Set in front of it by the caller: M (the store), RUN, NAMES (of the blobs, one in a line) and DROP: yes
# where the disk has no room for both the old and the new.
# Beside blobs/, and not in it: there a start of the server deletes whatever it does not know.
A=$M/.clawfleet-aside/$RUN
mkdir -p "$A" && chmod 700 "$M/.clawfleet-aside" "$A" || exit 1
for n in $NAMES; do
  [ -e "$M/blobs/$n" ] || continue
  if [ "$DROP" = yes ]; then rm -f "$M/blobs/$n"; else mv -f "$M/blobs/$n" "$A/$n"; fi || exit 1
done
