# Takes away what was put aside, once the whole blobs are there.
# Set in front of it by the caller: M (the store) and NAMES (of the blobs, one in a line).
cd "$M/.clawfleet-aside" 2>/dev/null || exit 0
for n in $NAMES; do for f in */"$n"; do
  if [ -e "$f" ] && [ -e "$M/blobs/$n" ]; then rm -f "$f" || exit 1; fi
done; done
rmdir -- * 2>/dev/null
cd .. && rmdir .clawfleet-aside 2>/dev/null
exit 0
