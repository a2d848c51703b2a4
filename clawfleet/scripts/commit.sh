# Head of every script that puts new files in place: compare, back up, write beside, check, move.
# Set in front of it by the caller: RUN. base64 -d is in macOS 13 and later, and elsewhere.
BACKUPS=$HOME/.clawfleet/backups
set -u
umask 077
LC_ALL=C; export LC_ALL
B="$BACKUPS/$RUN"
mkdir -p "$B" && chmod 700 "$HOME/.clawfleet" "$BACKUPS" "$B" || exit 1
sum() { if [ -e "$1" ]; then shasum -a 256 < "$1" | cut -c1-64; else echo absent; fi; }
unpack() { base64 -d 2>/dev/null; }
# compare FILE HASH: what is there now must be what was read
compare() { [ "$(sum "$1")" = "$2" ] || { echo "$1 changed since it was read" >&2; exit 75; }; }
# keep FILE NAME: into this run's backup, once, so that the state before the run stays in it; the
# manifest that LIST names is what a failed restart of the gateway puts back
keep() {
  grep -q "	$2	" "$B/$LIST" 2>/dev/null && return 0
  if [ -e "$1" ]; then cp -p "$1" "$B/$2" || exit 1; e=yes; else e=no; fi
  printf '%s\t%s\t%s\n' "$e" "$2" "$1" >> "$B/$LIST"
}
# put FILE NAME TEMPORARY: back as it was when this run began
put() { if [ -e "$B/$2" ]; then cp -p "$B/$2" "$3" && mv -f "$3" "$1"; else rm -f "$1"; fi; }
# prune N: only the newest N backups stay, and this run's, whatever the clocks say
prune() {
  n=0; for d in $(ls -1r "$BACKUPS"); do n=$((n+1)); [ $n -gt "$1" ] && [ "$d" != "$RUN" ] && rm -rf "${BACKUPS:?}/$d"; done
}
