# Brings the gateway to where it should be and waits until it is well; exit code 0 only then.
# Set in front of it by the caller: PORT TIMEOUT SETTLE, and the functions probe (HTTP), reset
# (sessions), begin (install or again), undo (puts this run's files back; fails when there are none).
#
# launchd's traps: bootout returns before the process is gone, and bootstrap answers 5 or 37 until
# then; kickstart answers 37 on a running job; a plist is read at bootstrap only. `lsof -t` without
# -sTCP:LISTEN would name clients too, and killing those ends the user's browser or tunnel.
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
U=$(id -u); D=gui/$U; L=ai.openclaw.gateway; P=$HOME/Library/LaunchAgents/$L.plist
say() { echo "$*" >&2; }
ask() { curl -q -s --noproxy '*' --connect-timeout 2 -m 5 "$@" 2>/dev/null; }
listeners() { lsof -nP "-tiTCP:$PORT" -sTCP:LISTEN 2>/dev/null | sort -u; }
loaded() { launchctl print "$D/$L" >/dev/null 2>&1; }
job() { launchctl print "$D/$L" 2>/dev/null | sed -n 's/^	'"$1"' = //p' | head -1; }
left() { [ "$(date +%s)" -lt "$1" ]; }
stop() {
  launchctl bootout "$D/$L" 2>/dev/null   # 3, 36 and 113 mean that nothing was loaded
  end=$(($(date +%s) + 40)); while loaded && left $end; do sleep 0.3; done
  loaded && { say "40 s after bootout launchd still shows it: $(job state)"; return 1; }
  for p in $(listeners); do
    c=$(ps -o command= -p "$p")
    case $c in
      *[oO]pen[cC]law*) kill -TERM "$p" 2>/dev/null;;
      *) say "port $PORT is held by pid $p: $c"; return 1;;
    esac
  done
  end=$(($(date +%s) + 25)); while [ -n "$(listeners)" ] && left $end; do sleep 0.3; done
  for p in $(listeners); do kill -KILL "$p" 2>/dev/null; done
  return 0
}
again() {
  launchctl enable "$D/$L"
  end=$(($(date +%s) + 30))
  until launchctl bootstrap "$D" "$P" 2>/dev/null; do
    r=$?
    case $r in 5|37) loaded && break;; *) say "launchctl bootstrap answered $r"; return 1;; esac
    left $end || { say "launchctl bootstrap still answers $r after 30 s"; return 1; }
    sleep 0.5
  done
  launchctl kickstart "$D/$L" 2>/dev/null; r=$?
  [ $r -eq 0 ] || [ $r -eq 37 ] || { say "launchctl kickstart answered $r"; return 1; }
}
openclaw_gateway() {
  out=$(openclaw gateway "$@" </dev/null 2>&1) || { say "$out"; return 1; }
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
  say "not well after $TIMEOUT s; last seen: $seen"
  return 1
}
logs() {
  for f in "$HOME/.openclaw/logs/gateway.err.log" "$HOME/Library/Logs/openclaw/gateway.log" "$HOME/.openclaw/logs/gateway.log"; do
    [ -s "$f" ] && { say "-- last lines of $f"; tail -8 "$f" | cut -c1-240 >&2; }
  done
}
saved=
[ -f "$P" ] && saved=$(mktemp "${TMPDIR:-/tmp}/clawfleet.XXXXXX") && cp -p "$P" "$saved"
trap '[ -n "$saved" ] && rm -f "$saved"' EXIT
ok=no
stop && reset && begin && well && ok=yes
if [ $ok = yes ]; then rm -f "$HOME/.clawfleet/restart-needed"; exit 0; fi
logs
if undo; then
  if [ -n "$saved" ]; then
    # `install --force` may have written another plist
    cmp -s "$saved" "$P" || cp -p "$saved" "$P"
    stop && again && well && rm -f "$HOME/.clawfleet/restart-needed" \
      && say "the files from before this run are back, and the gateway runs with them"
  else
    stop; rm -f "$P" "$HOME/.clawfleet/restart-needed"
    say "the files from before this run are back; there was no gateway before"
  fi
fi
exit 1
