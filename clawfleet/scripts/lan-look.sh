# What of the wanted blobs is here: in the store, whole in the folder before it, or a part of it there.
# Comes after lan-store.sh. Set in front of it by the caller: WANT (lines "HEX SIZE")
while read -r h n; do
  if [ -f "$T/$h" ]; then printf 'ready\t%s\t%s\n' "$h" "$(size "$T/$h")"
  # Looked at as a whole: what lies there may be the rest of a download that was cut off.
  elif right "$B/sha256-$h" "$h" "$n"; then printf 'there\t%s\t%s\n' "$h" "$n"
  elif [ -f "$T/$h.part" ]; then printf 'part\t%s\t%s\n' "$h" "$(size "$T/$h.part")"; fi
done <<END
$WANT
END
rmdir "$T" 2>/dev/null
printf 'free\t%s\n' "$(df -Pk "$B" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')"
