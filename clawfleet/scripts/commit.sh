# Head of every script that puts new files in place: compare, back up, write beside, check, move.
# Set in front of it by the caller: RUN, and PART (gateway, or other: what the gateway does not
# read). base64 -d is in macOS 13 and later, and elsewhere.
BACKUPS=$HOME/.clawfleet/backups
set -u
umask 077
LC_ALL=C; export LC_ALL
B="$BACKUPS/$RUN/$PART"
mkdir -p "$B" && chmod 700 "$HOME/.clawfleet" "$BACKUPS" "$BACKUPS/$RUN" "$B" || exit 1
sum() { if [ -e "$1" ]; then shasum -a 256 < "$1" | cut -c1-64; else echo absent; fi; }
unpack() { base64 -d 2>/dev/null; }
# compare FILE HASH: what is there now must be what was read
same() { [ "$(sum "$1")" = "$2" ]; }
compare() { same "$1" "$2" || { echo "$1 changed since it was read" >&2; exit 75; }; }
# keep FILE NAME: into this run's backup, until it is due, so that the state before the run stays in it
keep() {
  if [ -e "$B/$2.due" ]; then
    # Neither as it was nor as the run wrote it: OpenClaw or a person was there meanwhile.
    [ ! -e "$1" ] || cmp -s "$1" "$B/$2" || cmp -s "$1" "$B/$2.after" || cp -p "$1" "$B/$2.since" || exit 1
    return 0
  fi
  rm -f "$B/$2"
  if [ -e "$1" ]; then cp -p "$1" "$B/$2" || exit 1; e=yes; else e=no; fi
  # Moved into place whole: half a line would name a file that nobody finds again.
  { grep -vF "	$2	" "$B/list" 2>/dev/null; printf '%s\t%s\t%s\n' "$e" "$2" "$1"; } > "$B/list.new" &&
    mv -f "$B/list.new" "$B/list" || exit 1
}
# also FILE NAME: a copy for a person who looks for it; no failed run puts it back
also() { [ ! -e "$1" ] || [ -e "$B/$2" ] || cp -p "$1" "$B/$2" || exit 1; }
# unfinished: from here until the gateway is well again the next run finds that this one was cut off
unfinished() {
  printf '%s\n' "$RUN" > "$HOME/.clawfleet/unfinished.new" &&
    mv -f "$HOME/.clawfleet/unfinished.new" "$HOME/.clawfleet/unfinished" || exit 1
}
# due NAME: from here on the file is no longer as it was, and a failed run puts it back
due() { : > "$B/$1.due" || exit 1; }
# moving: from here on all of the moves on standard input are made, by this run or the next
moving() { cat > "$B/moving.new" && sync && mv -f "$B/moving.new" "$B/moving" && trap - EXIT || exit 1; }
# put FILE NAME TEMPORARY: back as it was when this run began
put() {
  if [ -e "$B/$2" ]; then own "$1" rm -f "$3"; like "$B/$2" "$3" && own "$1" mv -f "$3" "$1"
  else own "$1" rm -f "$1"; fi
}
# prune N: only the newest N backups stay, this run's and that of one that was cut off, whatever the
# clocks say; so does a folder under any other name, which somebody made to keep it
runs() { ls -1r "$BACKUPS" | grep -E '^[0-9]{8}-[0-9]{6}-[0-9a-f]{4}$'; }
prune() {
  cut=$(cat "$HOME/.clawfleet/unfinished" 2>/dev/null)
  n=0; for d in $(runs); do n=$((n+1))
    [ $n -gt "$1" ] && [ "$d" != "$RUN" ] && [ "$d" != "$cut" ] && rm -rf "${BACKUPS:?}/$d"; done
}
