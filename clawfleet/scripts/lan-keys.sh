# Functions that put one line into ~/.ssh/authorized_keys and take it out again: every other byte,
# the mode and the owner stay. Set in front of it by the caller: nothing.
# The folder of an access that is open: whoever made it gives the access, and takes it back.
D=$HOME/.clawfleet/lan
set -u
umask 077
LC_ALL=C; export LC_ALL
OURS='^restrict,from=.* clawfleet-lan-[0-9]{8}-[0-9]{6}-[0-9a-f]{4}$'
K=$HOME/.ssh/authorized_keys
# A link stays one, and what it leads to is what sshd reads.
[ ! -L "$K" ] || K=$(readlink -f "$K")
# exchange FILTER: the file through a filter, unless somebody writes it in the same moment
exchange() {
  i=0
  # The new file would be this user's.
  [ -O "$K" ] || { echo "$K belongs to somebody else" >&2; return 1; }
  while [ $i -lt 5 ]; do
    i=$((i+1)); rm -f "$K.clawfleet-was" "$K.clawfleet-new"
    # The copy brings mode, owner and access list along; then its content is replaced.
    cp -p "$K" "$K.clawfleet-was" && cp -p "$K" "$K.clawfleet-new" &&
      "$1" < "$K.clawfleet-was" > "$K.clawfleet-new" || break
    if cmp -s "$K" "$K.clawfleet-was"; then
      mv -f "$K.clawfleet-new" "$K" && rm -f "$K.clawfleet-was" && return 0
      break
    fi
  done
  rm -f "$K.clawfleet-was" "$K.clawfleet-new"
  echo "$K can't be changed" >&2
  return 1
}
# In front of what is there: the last line may have no end.
with_line() { printf '%s\n' "$LINE" && cat; }
number() { grep -anE "$OURS" "$1" 2>/dev/null | head -1 | cut -d: -f1; }
# By head and tail: sed and awk would give the last line the end that it had not.
without_line() {
  n=$(number "$K.clawfleet-was")
  { [ "$n" -eq 1 ] || head -n $((n-1)) "$K.clawfleet-was"; } && tail -n +$((n+1)) "$K.clawfleet-was"
}
# give LINE; files and folders that were not there are noted, to go again
give() {
  LINE=$1
  [ -d "${K%/*}" ] || { mkdir -m 700 "${K%/*}" && : > "$D/made-folder"; } || return 1
  if [ -e "$K" ]; then exchange with_line; return; fi
  : > "$D/made-file"
  (set -C; with_line < /dev/null > "$K") && chmod 600 "$K"
}
take_back() {
  while [ -n "$(number "$K")" ]; do exchange without_line || return 1; done
  [ ! -e "$D/made-file" ] || [ -s "$K" ] || rm -f "$K"
  [ ! -e "$D/made-folder" ] || rmdir "${K%/*}" 2>/dev/null
  # What is being read at this moment ends, too.
  for p in "$D"/reading/*; do
    p=${p##*/}
    case $(ps -o command= -p "$p" 2>/dev/null) in "dd if="*/blobs/sha256-*) kill "$p";; esac
  done
  rm -rf "$D"
}
# Is there an access whose run still lives? Else it is one that a run which died left behind.
alive() {
  [ -s "$D/keeper" ] && [ -s "$D/until" ] && kill -0 "$(cat "$D/keeper")" 2>/dev/null &&
    [ "$(date +%s)" -lt "$(cat "$D/until")" ]
}
