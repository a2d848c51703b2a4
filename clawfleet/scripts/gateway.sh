# Brings the gateway to where it should be and waits until it is well; exit code 0 only then.
# Set in front of it by the caller: PORT TIMEOUT SETTLE, and the functions probe (HTTP), reset
# and forget (sessions in a file, in a database), begin (install or again), undo (puts this run's
# files back; fails when there are none).
# Needs launchd.sh in front of it too.
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
        seen="openclaw health: $(printf '%s' "$h" | tail -2 | cut -c1-300)"
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
saved=
mkdir -p "$HOME/.clawfleet" && chmod 700 "$HOME/.clawfleet"
[ -f "$P" ] && saved=$(mktemp "$HOME/.clawfleet/plist.XXXXXX") && cp -p "$P" "$saved"
trap '[ -n "$saved" ] && rm -f "$saved"' EXIT
ok=no
stop && reset && begin && well && forget && ok=yes
if [ $ok = yes ]; then rm -f "$HOME/.clawfleet/restart-needed"; exit 0; fi
first=$why
logs
# `install --force` may have written another plist; undo may have an even older one to put back
stop && [ -n "$saved" ] && cp -p "$saved" "$P"
if undo; then
  say "the files from before this run are back"
  if [ -n "$saved" ]; then
    again && well && rm -f "$HOME/.clawfleet/restart-needed" && say "and the gateway runs with them"
  else
    rm -f "$P" "$HOME/.clawfleet/restart-needed"
    say "there was no gateway before, and there is none now"
  fi
elif [ -f "$P" ]; then
  # It may only be slow: launchd goes on trying, as it did before this run.
  loaded || again
fi
say "$first"
exit 1
