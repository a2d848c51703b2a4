# Reads what only a diagnosis looks at, and changes nothing: a deploy does not pay for it. Each part stands
# alone, so that one that can't be read leaves the others. Needs reading.sh in front of it.
# Set in front of it by the caller: OLLAMA_PORT, BREW (Homebrew's prefix), CLIENT (Ollama's command, where
# its server answers: it waits for one without a bound), KNOWN (texts to look for in logs, one in a line),
# each of them perhaps empty.
what pmset pmset -g
what power pmset -g custom
what scutil scutil --proxy
what filevault fdesetup status
what autologin defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser
what console stat -f %Su /dev/console

if [ -n "$BREW" ]; then
  what brew.owner stat -f %Su "$BREW/bin/brew"
  if [ -w "$BREW" ] && { [ ! -d "$BREW/Cellar" ] || [ -w "$BREW/Cellar" ]; }; then kv brew.writable yes; fi
  [ -L "$BREW/bin/ollama" ] && [ ! -e "$BREW/bin/ollama" ] && kv ollama.dangling "$(readlink "$BREW/bin/ollama")"
fi
[ -z "$CLIENT" ] || OLLAMA_HOST=127.0.0.1:$OLLAMA_PORT what ollama.version "$CLIENT" --version
curl -q -s --noproxy '*' --connect-timeout 2 -m 6 "http://127.0.0.1:$OLLAMA_PORT/api/ps" 2>/dev/null | lines ollama.ps

# Its own arguments would look like a gateway to grep, hence the brackets.
ps -axo pid= -o ppid= -o etime= -o command= 2>/dev/null | grep -E '[o]penclaw.*gateway' | lines gateways
ls "$HOME/Library/LaunchAgents" 2>/dev/null | grep -E '^(ai\.openclaw\.|com\.clawdbot\.|bot\.molt).*\.plist$' | lines agents

# Logs: only lines with a known text, of the newest 256 kB
n=0
log() {
  [ -s "$1" ] && [ -n "$KNOWN" ] || return 0
  n=$((n+1)); kv "log.$n.path" "$1"; kv "log.$n.mtime" "$(stat -f %m "$1")"
  tail -c 262144 "$1" | grep -F "$KNOWN" | tail -n 60 | cut -c1-400 | lines "log.$n"
}
log "$HOME/.openclaw/logs/gateway.err.log"
log "$HOME/.openclaw/logs/gateway.log"
log "$HOME/Library/Logs/openclaw/gateway.log"
log "$HOME/.ollama/logs/server.log"
[ -z "$BREW" ] || log "$BREW/var/log/ollama.log"

# Keys and conversations that others on this Mac could read: only where they may enter the folder
for d in "$HOME/.openclaw" "$HOME/.clawfleet"; do
  d=$(cd -P "$d" 2>/dev/null && pwd) || continue
  case $(stat -f %Lp "$d") in *00) continue;; esac
  stat -f '%Lp %N' "$d" | lines folders
  find "$d" \( -name node_modules -o -name workspace \) -prune -o -type f \( -perm -004 -o -perm -040 \) \
    \( -name '*.json' -o -name '*.json.*' -o -name '*.env' -o -name .env -o -name '*.sqlite' \) \
    -exec stat -f '%Lp %N' {} + 2>/dev/null | head -40 | lines readable
done
