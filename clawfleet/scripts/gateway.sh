# Brings the gateway to where it should be and waits until it is well; exit code 0 only then.
# Set in front of it by the caller: PORT TIMEOUT BACK SETTLE (seconds: for the new state to be well,
# for the old one when it has to return, and to stay well), WAIT (yes: it was started a moment ago and
# may come up by itself), and the functions probe (HTTP), reset
# and forget (sessions in a file, in a database), begin (install, again, or nothing for a gateway that
# shall go), written (the files that begin writes; each call is "this FILE NAME"), undo (restore.sh);
# AFTER is what has to succeed then: well, or : for a gateway that shall go.
# Needs launchd.sh, commit.sh and well.sh in front of it too.
openclaw_gateway() {
  out=$(openclaw gateway "$@" </dev/null 2>&1) || { why="$out"; return 1; }
  loaded || again
}
# bypass NAME VALUE: a variable in what launchd starts the gateway with, as OpenClaw has just written it
changed=
bypass() {
  f=$P; t=$P.clawfleet-env; e=$HOME/.openclaw/service-env/$L.env
  if [ -f "$e" ] && grep -q /service-env/ "$P"; then
    grep -Fxq "export $1='$2'" "$e" && return 0
    f=$e; t=$e.clawfleet-env; rm -f "$t"
    { grep -v "^export $1=" "$e"; printf "export %s='%s'\n" "$1" "$2"; } > "$t"
  else
    [ "$(plutil -extract "EnvironmentVariables.$1" raw -o - "$P" 2>/dev/null)" = "$2" ] && return 0
    rm -f "$t"; cp -p "$P" "$t" && plutil -replace "EnvironmentVariables.$1" -string "$2" "$t" >/dev/null
  fi || { why="$1 was not written into $f"; rm -f "$t"; return 1; }
  chmod "$(stat -f %Lp "$f")" "$t" && mv -f "$t" "$f" && changed=yes && return 0
  why="$1 was not written into $f"; rm -f "$t"; return 1
}
this() { keep "$1" "$2"; due "$2"; }
finished() { rm -f "$HOME/.clawfleet/unfinished" "$@"; }
[ $AFTER = well ] || rm -f "$S" "$S.json"
ok=no
# A restart that changes no file leaves no backup behind.
trap 'rmdir "$B" "$BACKUPS/$RUN" 2>/dev/null' EXIT
if [ $WAIT = yes ] && well; then finished "$HOME/.clawfleet/restart-needed"; exit 0; fi
written
unfinished
start() {
  reads; begin; r=$?
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
first=$why first_fix=$fix
logs
stop
undo; r=$?
case $r in
0) say "the files from before this run are back"
  # With the port that it had: this run may have given it another one.
  o=$(cat "$P" 2>/dev/null | tr -d '\n' | sed -n 's/.*>--port<[^0-9]*\([0-9]*\)<.*/\1/p')
  PORT=${o:-$PORT}
  TIMEOUT=$BACK LOOP=99999
  if [ ! -f "$P" ]; then
    finished "$HOME/.clawfleet/restart-needed"
    say "there was no gateway before, and there is none now"
  elif reads && again && well; then
    finished "$HOME/.clawfleet/restart-needed"
    say "and the gateway runs with them"
  fi;;
3) finished
  # It may only be slow: launchd goes on trying, as it did before this run.
  [ ! -f "$P" ] || loaded || again
  rm -f "$DOWN";;
*) say "not everything from before this run could be put back; it is in $B";;
esac
[ -z "$first_fix" ] || echo "clawfleet:fix $first_fix"
say "$first"
exit 1
