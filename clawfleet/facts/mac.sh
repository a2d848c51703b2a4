# Reads one Mac and changes nothing: the only script that looks at a Mac before a decision.
# Prints lines "name<TAB>value" and "name<TAB>base64" (names that end in :b64). sh, BSD userland, no python3:
# a Mac without the Command Line Tools has none. Everything that can hang has its own bound.
# Set in front of it by the caller: OLLAMA_PORT GATEWAY_PORT PREFIX (may be empty) AGENT
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
umask 077
kv() { printf '%s\t%s\n' "$1" "$2"; }
b64() { printf '%s:b64\t' "$1"; base64 | tr -d '\n'; echo; }

kv clawfleet.probe 1
kv os.kernel "$(uname -s)"
[ "$(uname -s)" = Darwin ] || { kv clawfleet.end 1; exit 0; }
kv os.version "$(sw_vers -productVersion)"
kv os.arch "$(uname -m)"
U=$(id -u)
kv user.uid "$U"; kv user.name "$(id -un)"; kv user.home "$HOME"; kv user.groups "$(id -Gn)"
for k in hw.memsize machdep.cpu.brand_string hw.optional.arm64; do
  kv "sysctl.$k" "$(sysctl -n "$k" 2>/dev/null)"
done
sudo -n true >/dev/null 2>&1 && kv sudo.free yes || kv sudo.free no
kv now "$(date +%s)"

# launchd: what the GUI domain is, holds and hands down
G=gui/$U
if d=$(launchctl print "$G" 2>&1); then kv gui.exists yes; printf '%s\n' "$d" | b64 gui.print
else kv gui.exists no; kv gui.error "$(printf '%s' "$d" | tail -1)"; fi
kv console.uid "$(stat -f %u /dev/console 2>/dev/null)"
L=ai.openclaw.gateway
launchctl print "$G/$L" 2>/dev/null | b64 gateway.print
launchctl print "system/$L" >/dev/null 2>&1 && kv gateway.system yes || kv gateway.system no
launchctl print-disabled "$G" 2>/dev/null | grep -E "\"$L\" => (disabled|true)" >/dev/null \
  && kv gateway.disabled yes || kv gateway.disabled no

# Homebrew: by the file that exists; `uname -m` lies under Rosetta
for p in $PREFIX /opt/homebrew /usr/local; do
  [ -x "$p/bin/brew" ] && { kv brew.prefix "$p"; B=$p; break; }
done
: "${B:=}"
if [ -n "$B" ]; then
  v=$(readlink "$B/opt/ollama" 2>/dev/null); kv ollama.formula "${v##*/}"
  for t in ollama-app ollama; do
    d=$B/Caskroom/$t
    [ -d "$d" ] && [ ! -L "$d" ] && ls "$d"/.metadata/*/*/Casks/$t.* >/dev/null 2>&1 && kv ollama.cask "$t"
  done
  kv ollama.link "$(readlink "$B/bin/ollama" 2>/dev/null)"
  for n in node node@22 node@24 node@26; do
    v=$(readlink "$B/opt/$n" 2>/dev/null); v=${v##*/}; [ -n "$v" ] && kv "node.formula.$n" "$v"
  done
fi
for a in /Applications "$HOME/Applications"; do
  [ -d "$a/Ollama.app" ] && { kv ollama.app "$a/Ollama.app"
    kv ollama.app.version "$(plutil -extract CFBundleShortVersionString raw -o - "$a/Ollama.app/Contents/Info.plist" 2>/dev/null)"; break; }
done

# Ports: listeners only; without root lsof sees the own processes only, so a connect is tried too
port() {
  pids=$(lsof -nP "-tiTCP:$2" -sTCP:LISTEN 2>/dev/null | sort -u)
  kv "$1.port.pids" "$(echo $pids)"
  for i in $pids; do
    kv "$1.port.process" "$(ps -o pid= -o ppid= -o etime= -o command= -p "$i")"
    q=$(ps -o ppid= -p "$i" | tr -d ' ')
    [ "${q:-1}" -gt 1 ] && kv "$1.port.parent" "$(ps -o pid= -o ppid= -o etime= -o command= -p "$q")"
    ps eww -o command= -p "$i" 2>/dev/null | tr ' ' '\n' \
      | grep -E '^([hH][tT][tT][pP][sS]?|[aA][lL][lL]|[nN][oO])_[pP][rR][oO][xX][yY]=.' | cut -d= -f1 \
      | sort -u | while read -r n; do kv "$1.port.proxy" "$n"; done
  done
}
port ollama "$OLLAMA_PORT"
port gateway "$GATEWAY_PORT"
get() { curl -q -s --noproxy '*' --connect-timeout 2 -m "${3:-5}" "http://127.0.0.1:$1$2" 2>/dev/null; }
get "$OLLAMA_PORT" /api/version | b64 ollama.api.version
get "$OLLAMA_PORT" /api/tags | b64 ollama.api.tags
get "$OLLAMA_PORT" /api/ps | b64 ollama.api.ps
curl -q -s --noproxy '*' --connect-timeout 2 -m 5 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$GATEWAY_PORT/" \
  2>/dev/null | { read -r c; kv gateway.http "$c"; }
get "$GATEWAY_PORT" /healthz | head -c 400 | b64 gateway.healthz

# Disk where the models lie
d=$HOME/.ollama; [ -d "$d" ] || d=$HOME
kv disk.free_kb "$(df -Pk "$d" | awk 'NR==2{print $4}')"

# Node and OpenClaw: an SSH session's PATH has neither Homebrew nor npm's folders
for d in "$HOME/.openclaw/bin" "$HOME/.npm-global/bin" "$HOME/Library/pnpm" "$HOME/.local/bin" "$HOME/.local/share/pnpm" \
  ${B:+"$B/bin"} /usr/local/bin $(echo "$PATH" | tr ':' ' '); do
  [ -x "$d/openclaw" ] && { kv openclaw.bin "$d/openclaw"; O=$d/openclaw; break; }
done
if [ -n "${O:-}" ]; then
  r=$(readlink -f "$O" 2>/dev/null || echo "$O"); kv openclaw.real "$r"
  # pnpm's entry is a shell script that names the package
  case $(head -c 2 "$r"; head -1 "$r") in *node*) ;; *)
    t=$(sed -n 's/.*"\$basedir\/\([^"]*openclaw\.mjs\)".*/\1/p' "$r" | head -1)
    [ -n "$t" ] && r=$(cd "$(dirname "$r")/$(dirname "$t")" 2>/dev/null && pwd)/openclaw.mjs ;; esac
  kv openclaw.entry "$r"
  kv openclaw.version "$(sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p' "$(dirname "$r")/package.json" 2>/dev/null | head -1)"
fi
P=$HOME/Library/LaunchAgents/$L.plist
n=$(sed -n 's/.*<string>\(.*\/node\)<\/string>.*/\1/p' "$P" 2>/dev/null | head -1)
for d in ${O:+"$(dirname "$O")"} ${n:+"$(dirname "$n")"} ${B:+"$B/opt/node@24/bin" "$B/opt/node@22/bin" "$B/opt/node/bin"} \
  /usr/local/bin $(echo "$PATH" | tr ':' ' '); do
  [ -x "$d/node" ] && kv node "$d/node $("$d/node" --version 2>/dev/null)"
done | awk '!s[$0]++'
for t in npm pnpm; do for d in ${O:+"$(dirname "$O")"} ${B:+"$B/bin" "$B/opt/node@24/bin" "$B/opt/node@22/bin"} \
  "$HOME/Library/pnpm" /usr/local/bin; do [ -x "$d/$t" ] && { kv "$t.bin" "$d/$t"; break; }; done; done

# Files: metadata, hash and content; secrets inside stay in the snapshot and are printed nowhere
file() {
  [ -L "$2" ] && kv "file.$1.link" "$(readlink -f "$2" 2>/dev/null || readlink "$2")"
  if [ -f "$2" ]; then
    kv "file.$1" "$(stat -L -f '%Lp %u %m %z' "$2") $(shasum -a 256 < "$2" | cut -c1-64)"
    if [ -r "$2" ]; then b64 "file.$1.content" < "$2"; else kv "file.$1.unreadable" yes; fi
  elif [ -e "$2" ]; then kv "file.$1.other" yes; fi
  kv "file.$1.path" "$2"
}
S=$HOME/.openclaw
[ -L "$S" ] && kv state.link "$(readlink -f "$S" 2>/dev/null || readlink "$S")"
[ -d "$S" ] && kv state.dir "$(stat -f '%Lp %u' "$S")"
file config "$S/openclaw.json"
file auth "$S/agents/$AGENT/agent/auth-profiles.json"
file dotenv "$S/.env"
file service_env "$S/service-env/$L.env"
file plist "$P"
file sessions "$S/agents/$AGENT/sessions/sessions.json"
file ollama_env "$HOME/.homebrew/services/ollama.env"
file ollama_plist "$HOME/Library/LaunchAgents/homebrew.mxcl.ollama.plist"
[ -n "$B" ] && file brew_env "$B/etc/homebrew/brew.env"
[ -f "$S/state/openclaw.sqlite" ] && kv openclaw.sqlite yes
[ -f "$S/agents/$AGENT/agent/openclaw-agent.sqlite" ] && kv openclaw.agent_sqlite yes
for f in .zshenv .zprofile .zshrc .profile .bash_profile .bashrc; do
  [ -f "$HOME/$f" ] && grep -E '^[^#]*(https?|all)_proxy=' -i "$HOME/$f" >/dev/null 2>&1 && kv shell.proxy "$HOME/$f"
done
for f in "$HOME"/Library/LaunchAgents/*.plist; do
  [ -f "$f" ] && grep -i setenv "$f" >/dev/null 2>&1 && grep -iE '(https?|all)_proxy' "$f" >/dev/null 2>&1 && kv agent.proxy "$f"
done
[ -f "$HOME/.clawfleet/restart-needed" ] && b64 restart.needed < "$HOME/.clawfleet/restart-needed"
kv clawfleet.end 1
