# Brings the gateway to where it should be and waits until it is well; exit code 0 only then.
# Set in front of it by the caller: PORT TIMEOUT BACK SETTLE (seconds: for the new state to be well,
# for the old one when it has to return, and to stay well), and the functions probe (HTTP), reset
# and forget (sessions in a file, in a database), begin (install, again, or nothing for a gateway that
# shall go), written (the files that begin writes; each call is "this FILE NAME"), undo (restore.sh);
# AFTER is what has to succeed then: well, or : for a gateway that shall go.
# Needs launchd.sh and commit.sh in front of it too.
openclaw_gateway() {
  out=$(openclaw gateway "$@" </dev/null 2>&1) || { why="$out"; return 1; }
  loaded || again
}
well() {
  end=$(($(date +%s) + $TIMEOUT)); seen="nothing yet"
  while left $end; do
    pid=$(job pid)
    if [ -z "$pid" ]; then seen="launchd: $(job state), runs $(job runs), last exit $(job 'last exit code')"
    else
      who=; for p in $(listeners); do
        [ "$p" = "$pid" ] || [ "$(ps -o ppid= -p "$p" | tr -d ' ')" = "$pid" ] && who=$p
      done
      if [ -z "$who" ]; then seen="pid $pid runs, port $PORT is not open"
      elif ! probe; then seen="port $PORT is open, no answer to the HTTP probe"
      else
        h=$(openclaw health --json --timeout 15000 </dev/null 2>&1) && case $h in *'"ok": true'*|*'"ok":true'*)
          s=$(($(date +%s) + $SETTLE)); same=yes
          while left $s; do sleep 0.5; [ "$(job pid)" = "$pid" ] || { same=no; break; }; done
          [ $same = yes ] && { echo "pid $pid is well on port $PORT"; return 0; }
          h="pid $pid ended again, now $(job pid)";;
        esac
        # Without the lines of Node's stack.
        seen="openclaw health: $(printf '%s\n' "$h" | grep -v '^ *at ' | tail -2 | tr '\n' ' ' | cut -c1-300)"
      fi
    fi
    sleep 0.5
  done
  why="not well after $TIMEOUT s; last seen: $seen"
  return 1
}
logs() {
  for f in "$HOME/.openclaw/logs/gateway.err.log" "$HOME/Library/Logs/openclaw/gateway.log" "$HOME/.openclaw/logs/gateway.log"; do
    [ -s "$f" ] && { say "-- last lines of $f"; tail -8 "$f" | cut -c1-240 >&2; }
  done
}
this() { keep "$1" "$2"; due "$2"; }
finished() { rm -f "$HOME/.clawfleet/unfinished" "$@"; }
ok=no
# A restart that changes no file leaves no backup behind.
trap 'rmdir "$B" "$BACKUPS/$RUN" 2>/dev/null' EXIT
written
unfinished
start() {
  begin; r=$?
  this() { [ ! -e "$1" ] || cp -p "$1" "$B/$2.after"; }
  written
  return $r
}
stop && reset && start && $AFTER && forget && ok=yes
if [ $ok = yes ]; then
  # By this run, or by the one that was cut off and left its backup to this one.
  if [ -f "$P" ] && grep -Fxq "no	LaunchAgents-$L.plist	$P" "$B/list" 2>/dev/null; then
    echo gateway >> "$HOME/.clawfleet/installed"
  fi
  I=$HOME/.clawfleet/installed
  [ -f "$P" ] || { grep -vx gateway "$I" > "$I.new"; mv -f "$I.new" "$I"; } 2>/dev/null
  finished "$HOME/.clawfleet/restart-needed"
  exit 0
fi
first=$why
logs
stop
undo; r=$?
case $r in
0) say "the files from before this run are back"
  # With the port that it had: this run may have given it another one.
  o=$(tr -d '\n' < "$P" 2>/dev/null | sed -n 's/.*>--port<[^0-9]*\([0-9]*\)<.*/\1/p')
  PORT=${o:-$PORT}
  TIMEOUT=$BACK
  if [ ! -f "$P" ]; then
    finished "$HOME/.clawfleet/restart-needed"
    say "there was no gateway before, and there is none now"
  elif again && well; then
    finished "$HOME/.clawfleet/restart-needed"
    say "and the gateway runs with them"
  fi;;
3) finished
  # It may only be slow: launchd goes on trying, as it did before this run.
  [ ! -f "$P" ] || loaded || again;;
*) say "not everything from before this run could be put back; it is in $B";;
esac
say "$first"
exit 1
