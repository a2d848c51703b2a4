# Moves the blobs that have arrived into the store and then, last, the manifest that names them: no
# server starts in between that would delete them. Comes after lan-store.sh.
# Set in front of it by the caller: WANT (lines "HEX SIZE"), MANIFEST (path below manifests/), TEXT (the
# manifest in base64), HEX (its sha256)
M=$STORE/manifests/$MANIFEST
new=$STORE/manifests/clawfleet-incoming   # not four levels deep, where Ollama would list it
rm -f "$new"; printf '%s\n' "$TEXT" | base64 -d > "$new" && [ "$(hash "$new")" = "$HEX" ] || exit 73
mkdir -p "${M%/*}" && chmod 644 "$new" || exit 73
while read -r h n; do
  if [ -f "$T/$h" ]; then
    # Since Ollama 0.21 a blob without a manifest stays for an hour, by its own time.
    chmod 644 "$T/$h" && touch "$T/$h" && mv -f "$T/$h" "$B/sha256-$h" || exit 73
  fi
  [ "$(size "$B/sha256-$h")" = "$n" ] || { echo "sha256-$h is not whole" >&2; rm -f "$new"; exit 71; }
done <<END
$WANT
END
sync
mv -f "$new" "$M" || exit 73
tidy
exit 0
