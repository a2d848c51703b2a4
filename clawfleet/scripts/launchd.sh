# The gateway's job in launchd: stop and start it. Set in front of it by the caller: PORT, and SERVICES
# (agents: a LaunchAgent in the GUI domain; daemons: a LaunchDaemon, which only root loads).
#
# launchd's traps: bootout returns before the process is gone, and bootstrap answers 5 or 37 until
# then; kickstart answers 37 on a running job; a plist is read at bootstrap only. `lsof -t` without
# -sTCP:LISTEN would name clients too, and killing those ends the user's browser or tunnel.
# Files that the gateway watches are replaced only while it is stopped, unless its version was seen to
# apply exactly that change: 2026.2.17 answers others with a restart of its own that leaves launchd's
# job behind (it looks for LAUNCH_JOB_LABEL, which launchd does not set, and spawns a detached copy),
# and then two of them fight for the port.
set -u
umask 077
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
U=$(id -u); L=ai.openclaw.gateway
if [ $SERVICES = daemons ]; then D=system; P=/Library/LaunchDaemons/$L.plist; R='sudo -n'; whose="root's"
else D=gui/$U; P=$HOME/Library/LaunchAgents/$L.plist; R=; whose=yours; fi
DOWN=$HOME/.clawfleet/stopped-at
why=unknown   # of the last failure
fix=          # what a person can run then, where that is known better than in general
old=          # pid of the job that was stopped
stopped=      # yes once this script has done so
say() { echo "$*" >&2; }
ask() { curl -q -s --noproxy '*' --connect-timeout 2 -m 5 "$@" 2>/dev/null; }
listeners() { lsof -nP "-tiTCP:$PORT" -sTCP:LISTEN 2>/dev/null | sort -u; }
loaded() { launchctl print "$D/$L" >/dev/null 2>&1; }
job() { launchctl print "$D/$L" 2>/dev/null | sed -n 's/^	'"$1"' = //p' | head -1; }
left() { [ "$(date +%s)" -lt "$1" ]; }
# Milliseconds since 1970: BSD's date knows whole seconds only.
ms() { perl -MTime::HiRes=time -e 'printf "%d", time * 1000' 2>/dev/null || echo "$(date +%s)000"; }
is_gateway() {
  case $1 in openclaw-gateway*|*/node_modules/openclaw/*\ gateway*|*/bin/openclaw\ *gateway*) ;; *) false;; esac
}
# may: root's commands work, where the job is root's to load
may() {
  [ -z "$R" ] || $R true 2>/dev/null && return 0
  why="sudo asks for a password, and only root loads a LaunchDaemon"
  fix="on the Mac: sudo -n true has to work for $(id -un); then run again"
  return 1
}
stop() {
  may || return 1
  old=$(job pid)
  # From here on nobody answers; whoever sees it well again tells how long that was.
  [ -n "$stopped" ] || [ -z "$old" ] || [ -z "$(listeners)" ] || ms > "$DOWN"
  stopped=yes
  $R launchctl bootout "$D/$L" 2>/dev/null; r=$?   # 3, 36 and 113 mean that nothing was loaded
  n=0; end=$(($(date +%s) + 40))
  while loaded && left $end; do
    sleep 0.3; n=$((n+1))
    # 0, 36 and 37: it is going. Anything else was refused for a moment.
    case $r in 0|36|37) ;; *) [ $((n % 5)) -ne 0 ] || { $R launchctl bootout "$D/$L" 2>/dev/null; r=$?; };; esac
  done
  loaded && {
    why="40 s after bootout (which answered $r) launchd still shows it: $(job state)"
    fix="on the Mac: ${R:+sudo }launchctl bootout $D/$L; and if that does not help, restart the Mac"
    return 1
  }
  for p in $(listeners); do
    c=$(ps -o command= -p "$p")
    if is_gateway "$c"; then kill -TERM "$p" 2>/dev/null
    else why="port $PORT is held by pid $p: $c"; fix="on the Mac: kill $p, or set another gateway_port"; return 1; fi
  done
  end=$(($(date +%s) + 25)); while [ -n "$(listeners)" ] && left $end; do sleep 0.3; done
  # Asked again: by now the port may be somebody else's.
  for p in $(listeners); do
    is_gateway "$(ps -o command= -p "$p")" && kill -KILL "$p" 2>/dev/null
  done
  return 0
}
again() {
  # launchd makes no folder for the logs of a daemon, and would make the files root's.
  [ $D != system ] || { mkdir -p "$HOME/.openclaw/logs"; touch "$HOME/.openclaw/logs/gateway.log" "$HOME/.openclaw/logs/gateway.err.log"; }
  $R launchctl enable "$D/$L"
  n=0; end=$(($(date +%s) + 30))
  until $R launchctl bootstrap "$D" "$P" 2>/dev/null; do
    r=$?
    case $r in
    5|37) loaded && [ "$(job pid)" != "${old:-none}" ] && break;;
    *) # No reason to wait half a minute: but a session that has just begun may refuse once.
      n=$((n+1)); [ $n -lt 3 ] || { refused bootstrap $r; return 1; };;
    esac
    left $end || { refused bootstrap "$r for 30 s"; return 1; }
    sleep 0.5
  done
  n=0
  until $R launchctl kickstart "$D/$L" 2>/dev/null; do
    r=$?
    [ $r -ne 37 ] && [ -z "$(job pid)" ] || break
    n=$((n+1)); [ $n -lt 5 ] || { refused kickstart $r; return 1; }
    [ $r -ne 113 ] || $R launchctl bootstrap "$D" "$P" 2>/dev/null
    sleep 0.5
  done
  return 0
}
refused() {
  may || return 1
  why="launchctl $1 answered $2"
  case $2 in
  112|125) fix="log in at the Mac's screen ($D has to be there), then run again";;
  5*) fix="on the Mac: ls -l $P (it has to be $whose, mode 644) and ${R:+sudo }launchctl bootstrap $D $P";;
  *) fix="on the Mac: launchctl print $D/$L, and launchctl error $2";;
  esac
}
