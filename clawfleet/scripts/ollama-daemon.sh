# Starts Ollama's server as a LaunchDaemon, anew where it is loaded; Homebrew's service makes way for it.
# Needs ollama-port.sh in front of it, and brew on the PATH.
L=ai.clawfleet.ollama; P=/Library/LaunchDaemons/$L.plist
loaded() { launchctl print "$1" >/dev/null 2>&1; }
# away TARGET: until launchd has let go of it, which bootout does not wait for
away() {
  end=$(($(date +%s) + 40))
  while loaded "$1"; do
    [ "$(date +%s)" -lt $end ] || { echo "40 s later launchd still has $1" >&2; exit 1; }
    sleep 0.3
  done
}
# Before Homebrew's service is ended, as without sudo nothing would come in its place
sudo -n true || exit 1
# Where nobody is logged in its LaunchAgent is not loaded, and comes at the next login: brew takes the
# file away of one that it calls "not started", too
A=$HOME/Library/LaunchAgents/homebrew.mxcl.ollama.plist
[ ! -e "$A" ] || brew services stop ollama </dev/null || exit 1
[ ! -e "$A" ] || { echo "brew services stop ollama left $A" >&2; exit 1; }
for d in "gui/$(id -u)" "user/$(id -u)"; do
  loaded "$d/homebrew.mxcl.ollama" || continue
  brew services stop ollama </dev/null || exit 1
  away "$d/homebrew.mxcl.ollama"
done
sudo -n launchctl bootout "system/$L" 2>/dev/null
away "system/$L"
end=$(($(date +%s) + 20)); until refused || [ "$(date +%s)" -ge $end ]; do sleep 0.3; done
free
umask 077; mkdir -p "$HOME/.clawfleet"; touch "$HOME/.clawfleet/ollama.log"
sudo -n launchctl enable "system/$L"
end=$(($(date +%s) + 30))
until sudo -n launchctl bootstrap system "$P" 2>/dev/null; do
  r=$?; loaded "system/$L" && break
  [ "$(date +%s)" -lt $end ] || { echo "launchctl bootstrap of $P answers $r" >&2; exit 1; }
  sleep 0.5
done
