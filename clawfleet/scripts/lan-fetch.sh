# Fetches blobs from the Mac that lets this one read them. Comes after lan-store.sh.
# Set in front of it by the caller: WANT (lines "HEX SIZE"), ADDRESS, PORT, LOGIN, KEY (the private
# key), KNOWN (a line of known_hosts for the name clawfleet-source), HOSTKEYS (algorithms for it)
# Exit codes: 0, 70 the Macs do not reach each other, 71 it broke off, 72 foreign bytes, 73 this Mac.
W=${TMPDIR:-/tmp}; W=${W%/}/clawfleet-lan
rm -rf "$W".*   # of a Mac whose power went
W=$(umask 077; mktemp -d "$W.XXXXXXXX") || exit 73
S=; R=; Q=
# Also when the run dies: then nobody reads the lines about the progress any more.
trap 'rm -rf "$W"; rmdir "$T" 2>/dev/null; kill $S $R $Q 2>/dev/null' EXIT
trap 'exit 71' HUP INT TERM PIPE
(umask 077; printf '%s\n' "$KEY" > "$W/key"; printf '%s\n' "$KNOWN" > "$W/known") && mkfifo -m 600 "$W/pipe" || exit 73
# Nothing of the user's own SSH configuration: no agent, no jump, no other key.
set -- -F /dev/null -T -n -i "$W/key" -p "$PORT" -o "UserKnownHostsFile=\"$W/known\""
for o in BatchMode=yes IdentitiesOnly=yes IdentityAgent=none PreferredAuthentications=publickey \
  "HostKeyAlgorithms=$HOSTKEYS" StrictHostKeyChecking=yes HostKeyAlias=clawfleet-source GlobalKnownHostsFile=/dev/null UpdateHostKeys=no \
  ConnectTimeout=10 ServerAliveInterval=15 ServerAliveCountMax=4 ForwardAgent=no ControlPath=none \
  LogLevel=ERROR; do set -- "$@" -o "$o"; done
receive() {
  IFS= read -r line || exit 70
  case $line in
    "clawfleet $n") ;;
    "clawfleet "*) echo "a blob of ${line#clawfleet } bytes, expected $n" >&2; exit 72;;
    *) echo "it answers: $line" >&2; exit 70;;
  esac
  head -c $((n - skip * 1048576 + 1)) | dd of="$T/$h.part" bs=1048576 seek=$skip 2>/dev/null || exit 73
}
while read -r h n; do
  echo "blob $h"
  if [ ! -f "$T/$h" ]; then
    skip=$(($(size "$T/$h.part") / 1048576))
    ssh "$@" "$LOGIN@$ADDRESS" "sha256-$h $skip" > "$W/pipe" 2> "$W/said" & S=$!
    (receive) < "$W/pipe" & R=$!
    # It ends with its file: a signal that comes before this shell's traps are its own is lost.
    : > "$W/$h"
    ( trap '' PIPE; while sleep 1 > /dev/null; [ -e "$W/$h" ]; do
        echo "at $(size "$T/$h.part")" || { kill $S; break; }; done ) & Q=$!
    wait $R; code=$?; R=
    kill $S 2>/dev/null; S=
    [ $code -ne 0 ] || { echo checking; judge "$h" "$n"; code=$?; }
    rm -f "$W/$h"; kill $Q 2>/dev/null; Q=
    if [ $code -ne 0 ]; then tail -1 "$W/said" >&2; exit $code; fi
  fi
  echo "got $h"
done <<END
$WANT
END
exit 0
