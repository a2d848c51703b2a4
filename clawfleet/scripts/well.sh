# Waits until the gateway is well, gives up early where it can't become so, and notes with what it was
# started. Set in front of it by the caller: TIMEOUT SETTLE (seconds) and probe (HTTP). Needs
# launchd.sh and commit.sh in front of it too.
LOOP=3   # so many ends of the process are a crash loop; a slow start ends not once
S=$HOME/.clawfleet/started
# reads: called before a start. OpenClaw writes into openclaw.json itself, hence a copy.
reads() {
  began=$(date +%s); dotenv=$(sum "$HOME/.openclaw/.env")
  cp "$HOME/.openclaw/openclaw.json" "$S.json.new" 2>/dev/null || rm -f "$S.json.new"
}
noted() {
  [ -f "$S.json.new" ] || return 0
  e=$HOME/.openclaw/service-env/$L.env
  printf 'pid\t%s\nbegan\t%s\nwell\t%s\n%s\t%s\n%s\t%s\n%s\t%s\n' "$pid" "$began" "$(date +%s)" \
    "$dotenv" "$HOME/.openclaw/.env" "$(sum "$e")" "$e" "$(sum "$P")" "$P" > "$S.new" &&
    mv -f "$S.json.new" "$S.json" && mv -f "$S.new" "$S"
}
ended() { x=$(job 'last exit code'); echo "${x:-$(job 'last terminating signal')}"; }
# serves PID: a process of the job listens. A copy that the gateway made of itself must not stay.
serves() {
  who=; for p in $(listeners); do
    a=$(ps -o ppid= -p "$p" | tr -d ' ')
    if [ "$p" = "$1" ] || [ "$a" = "$1" ]; then who=$p
    elif [ "$a" = 1 ] && is_gateway "$(ps -o command= -p "$p")"; then kill -TERM "$p" 2>/dev/null; fi
  done
  [ -n "$who" ]
}
well() {
  end=$(($(date +%s) + $TIMEOUT)); seen="nothing yet"; up=; upon=; runs0=
  while left $end; do
    pid=$(job pid); runs=$(job runs); runs0=${runs0:-${runs:-}}
    if [ -n "$runs" ] && [ $((runs - runs0)) -ge $LOOP ]; then
      why="a crash loop: it ended $((runs - runs0)) times (last exit $(ended)); last seen: $seen"
      fix="what it said is above; on the Mac: openclaw doctor"
      return 1
    fi
    if [ -z "$pid" ]; then seen="launchd: $(job state), runs $runs, last exit $(ended)"
    elif [ "$pid" = "$old" ]; then seen="pid $pid from before still runs"
    elif ! serves "$pid"; then seen="pid $pid runs, port $PORT is not open"
    elif ! probe; then seen="port $PORT is open, no answer to the HTTP probe"
    else
      [ "$upon" = "$pid" ] || { up=$(ms); upon=$pid; }
      h=$(openclaw health --json --timeout 15000 </dev/null 2>&1) && case $h in *'"ok": true'*|*'"ok":true'*)
        s=$(($(date +%s) + $SETTLE)); same=yes
        while left $s; do sleep 0.5; [ "$(job pid)" = "$pid" ] || { same=no; break; }; done
        [ $same = yes ] && { is_well; return 0; }
        h="pid $pid ended again, now $(job pid)";;
      esac
      # Without the lines of Node's stack.
      seen="openclaw health: $(printf '%s\n' "$h" | grep -v '^ *at ' | tail -2 | tr '\n' ' ' | cut -c1-300)"
    fi
    sleep 0.5
  done
  why="not well after $TIMEOUT s; last seen: $seen"
  return 1
}
is_well() {
  noted
  echo "pid $pid is well on port $PORT"
  # A power cut may have left anything in it, which in an expression would end this script.
  from=$(head -1 "$DOWN" 2>/dev/null | tr -d '\000'); rm -f "$DOWN"
  case $from in ''|*[!0-9]*) ;; *) echo "clawfleet:down $((up - from))";; esac
}
logs() {
  for f in "$HOME/.openclaw/logs/gateway.err.log" "$HOME/Library/Logs/openclaw/gateway.log" "$HOME/.openclaw/logs/gateway.log"; do
    [ -s "$f" ] && { say "-- last lines of $f"; tail -8 "$f" | cut -c1-240 >&2; }
  done
}
