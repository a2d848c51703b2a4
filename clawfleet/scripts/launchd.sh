# The gateway's job in launchd: stop and start it. Set in front of it by the caller: PORT.
#
# launchd's traps: bootout returns before the process is gone, and bootstrap answers 5 or 37 until
# then; kickstart answers 37 on a running job; a plist is read at bootstrap only. `lsof -t` without
# -sTCP:LISTEN would name clients too, and killing those ends the user's browser or tunnel.
# Files that the gateway watches are replaced only while it is stopped: 2026.2.17 answers a change with
# a restart of its own that leaves launchd's job behind (it looks for LAUNCH_JOB_LABEL, which launchd
# does not set, and spawns a detached copy), and then two of them fight for the port.
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
U=$(id -u); D=gui/$U; L=ai.openclaw.gateway; P=$HOME/Library/LaunchAgents/$L.plist
why=unknown   # of the last failure
say() { echo "$*" >&2; }
ask() { curl -q -s --noproxy '*' --connect-timeout 2 -m 5 "$@" 2>/dev/null; }
listeners() { lsof -nP "-tiTCP:$PORT" -sTCP:LISTEN 2>/dev/null | sort -u; }
loaded() { launchctl print "$D/$L" >/dev/null 2>&1; }
job() { launchctl print "$D/$L" 2>/dev/null | sed -n 's/^	'"$1"' = //p' | head -1; }
left() { [ "$(date +%s)" -lt "$1" ]; }
stop() {
  launchctl bootout "$D/$L" 2>/dev/null   # 3, 36 and 113 mean that nothing was loaded
  end=$(($(date +%s) + 40)); while loaded && left $end; do sleep 0.3; done
  loaded && { why="40 s after bootout launchd still shows it: $(job state)"; return 1; }
  for p in $(listeners); do
    c=$(ps -o command= -p "$p")
    case $c in
      openclaw-gateway*|*/node_modules/openclaw/*\ gateway*|*/bin/openclaw\ *gateway*) kill -TERM "$p" 2>/dev/null;;
      *) why="port $PORT is held by pid $p: $c"; return 1;;
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
    case $r in 5|37) loaded && break;; *) why="launchctl bootstrap answered $r"; return 1;; esac
    left $end || { why="launchctl bootstrap still answers $r after 30 s"; return 1; }
    sleep 0.5
  done
  launchctl kickstart "$D/$L" 2>/dev/null; r=$?
  [ $r -eq 0 ] || [ $r -eq 37 ] || { why="launchctl kickstart answered $r"; return 1; }
}
