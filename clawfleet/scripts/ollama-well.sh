# Waits, at most 60 s, until Ollama's server is the one that was started: on PORT, of the version in
# WANT (in JSON's quotes, empty: any), a process that was not there before (OLD), of OWNER (formula,
# daemon, app), with the VARIABLES (one in a line) where its environment can be seen. Else it says what was
# seen last. Needs ollama-port.sh in front of it.
U=$(id -u)
job() {
  [ $OWNER != daemon ] || { launchctl print system/ai.clawfleet.ollama 2>/dev/null; return; }
  for d in "gui/$U" "user/$U"; do launchctl print "$d/homebrew.mxcl.ollama" 2>/dev/null && break; done
}
# owned PID: it is the owner's process, or a child of it
owned() {
  case $OWNER in
  formula|daemon) j=$(job | sed -n 's/^	pid = //p' | head -1)
    [ -n "$j" ] && { [ "$1" = "$j" ] || [ "$(ps -o ppid= -p "$1" | tr -d ' ')" = "$j" ]; };;
  app) case $(ps -o command= -p "$1") in *Ollama.app/Contents/*) ;; *) false;; esac;;
  esac
}
# lacking PID: names of the variables that it was not given; nothing where nobody can tell
lacking() {
  [ -n "$VARIABLES" ] || return 0
  e=$(ps eww -o command= -p "$1" 2>/dev/null | tr ' ' '\n')
  case $e in *PATH=*) ;; *)
    e=; [ $OWNER != formula ] || e=$(job | sed -n '/^	environment = {/,/^	}/s/^		\([^ ]*\) => /\1=/p');;
  esac
  [ -z "$e" ] || printf '%s\n' "$VARIABLES" | while IFS= read -r v; do
    printf '%s\n' "$e" | grep -Fxq "$v" || printf ' %s' "${v%%=*}"; done
}
end=$(($(date +%s) + 60)); seen=nothing
while [ "$(date +%s)" -lt $end ]; do
  v=$(curl -q -s --noproxy '*' --connect-timeout 1 -m 3 "http://127.0.0.1:$PORT/api/version")
  p=$(listeners | head -1)
  case $v in
  *'"version"'*"$WANT"*)
    if [ -z "$p" ]; then seen="port $PORT answers $v, from a process that this user can't see"
    elif printf '%s\n' "$OLD" | grep -Fxq "$p"; then seen="port $PORT answers $v, from pid $p, which was there before"
    elif ! owned "$p"; then seen="port $PORT answers $v, from pid $p: $(ps -o command= -p "$p" | cut -c1-120)"
    else
      l=$(lacking "$p")
      [ -z "$l" ] && exit 0
      seen="pid $p answers $v, and runs without$l"
      [ $OWNER != formula ] || seen="$seen, which stand in ~/.homebrew/services/ollama.env: Homebrew reads that file from version 6 on (brew update)"
      break
    fi;;
  *) seen="port $PORT answers ${v:-nothing}, expected version ${WANT:-any}";;
  esac
  sleep 0.5
done
echo "the server did not come as it should; last seen: $seen" >&2
exit 1
