# Head of the scripts that put blobs into this Mac's store. They gather in a folder of their own on
# the same volume: in blobs/ a starting server deletes what no manifest names, and Ollama takes what
# lies there for right without looking.
# Set in front of it by the caller: STORE
set -u
umask 022
LC_ALL=C; export LC_ALL
mkdir -p "$STORE/blobs" "$STORE/manifests" && B=$(cd -P "$STORE/blobs" && pwd) || exit 73
T=${B%/*}/clawfleet-incoming
[ ! -L "$T" ] || { echo "$T is a link" >&2; exit 73; }
[ -d "$T" ] || mkdir -m 700 "$T" || exit 73
size() { stat -L -f %z "$1" 2>/dev/null || echo 0; }
hash() { shasum -a 256 < "$1" | cut -c1-64; }
# right FILE HEX SIZE
right() { [ -f "$1" ] && [ "$(size "$1")" = "$3" ] && [ "$(hash "$1")" = "$2" ]; }
# tidy: what is in the store need not wait before it; what nobody has gone on with for a week goes
tidy() {
  for f in "$T"/*; do
    h=${f##*/}; h=${h%.part}
    [ ! -f "$B/sha256-$h" ] || rm -f "$f"
  done
  find "$T" -type f -mtime +7 -exec rm -f {} +
  rmdir "$T" 2>/dev/null
}
# judge HEX SIZE: the blob that has arrived is whole (0), may be gone on with (71), or is none (72)
judge() {
  n=$(size "$T/$1.part")
  [ "$n" -ge "$2" ] || { echo "$n bytes of $2" >&2; return 71; }
  right "$T/$1.part" "$1" "$2" && mv -f "$T/$1.part" "$T/$1" && return 0
  rm -f "$T/$1.part"
  echo "other bytes than those of sha256:$1" >&2
  return 72
}
