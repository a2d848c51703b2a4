# Reads one Mac and changes nothing: the only script that looks at a Mac before a decision.
# Prints lines "name<TAB>value"; text of several lines is "name:l<TAB>line" for each; all files come as
# one tar. sh and BSD userland, no python3: a Mac without the Command Line Tools has none. Few
# processes, as each costs 5 to 40 ms; everything that can hang has its own bound.
# Set in front of it by the caller: OLLAMA_PORT GATEWAY_PORT PREFIX (may be empty) SERVICES (agents or
# daemons: which of launchd's domains the services are in) AGENT ALSO (paths of
# further files, one in a line) SHOW (names of the wanted models, one in a line) MODELS (their paths
# below manifests/, one in a line)
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
umask 077
case $HOME in *'
'*|*'	'*) echo "a home folder with a line break or tab in its name" >&2; exit 1;; esac
kv() { printf '%s\t%s\n' "$1" "$2"; }
lines() { while IFS= read -r l || [ -n "$l" ]; do printf '%s:l\t%s\n' "$1" "$l"; done; }

kv clawfleet.probe 2
os=$(uname -sm); kv os.kernel "${os% *}"; kv os.arch "${os#* }"
[ "${os% *}" = Darwin ] || { kv clawfleet.end 1; exit 0; }
kv os.version "$(sw_vers -productVersion)"
U=$(id -u)
kv user.uid "$U"; kv user.name "$(id -un)"; kv user.home "$HOME"
sysctl hw.memsize machdep.cpu.brand_string hw.optional.arm64 iogpu.wired_limit_mb 2>/dev/null | lines sysctl
c=${SSH_CONNECTION:-}; kv ssh.connection "$c"
# Names such as mini.local lead to an address that means something on one cable only
case $c in *" fe80:"*%*) i=${c##*%}; kv ssh.address "$(ipconfig getifaddr "${i%% *}" 2>/dev/null)";; esac
# An access that a run gave to another Mac (scripts/lan-open.sh); the run, or its end, takes it back
if [ -d "$HOME/.clawfleet/lan" ]; then
  p=; u=; read -r p < "$HOME/.clawfleet/lan/keeper"; read -r u < "$HOME/.clawfleet/lan/until"
  if [ -n "$p" ] && kill -0 "$p" && [ "$(date +%s)" -lt "${u:-0}" ]; then kv lan.access open; else kv lan.access left; fi
fi 2>/dev/null

# launchd: what the GUI domain is, holds and hands down
G=gui/$U
M=$HOME/.ollama/models
if d=$(launchctl print "$G" 2>&1); then kv gui.exists yes; printf '%s\n' "$d" | lines gui.print
  case $d in *"	OLLAMA_MODELS => "*) M=${d#*	OLLAMA_MODELS => }; M=${M%%
*};; esac
else kv gui.exists no; kv gui.error "${d##*
}"
  kv login.automatic "$(defaults read /Library/Preferences/com.apple.loginwindow autoLoginUser 2>/dev/null)"
  kv filevault "$(fdesetup status 2>/dev/null | head -1)"
fi
L=ai.openclaw.gateway
JOBS=$HOME/Library/LaunchAgents
if [ $SERVICES = daemons ]; then
  { [ -e "$JOBS/$L.plist" ] || launchctl print "$G/$L" >/dev/null 2>&1; } && kv gateway.twin yes
  sudo -n true >/dev/null 2>&1 && kv sudo.free yes
  D=system; JOBS=/Library/LaunchDaemons; M=$HOME/.ollama/models
else
  D=$G
  # One that is not loaded is at the next start, unless it is disabled
  if launchctl print "system/$L" >/dev/null 2>&1; then kv gateway.twin yes
  elif [ -e "/Library/LaunchDaemons/$L.plist" ]; then
    case $(launchctl print-disabled system 2>/dev/null) in
    *"\"$L\" => disabled"*|*"\"$L\" => true"*) ;; *) kv gateway.twin yes;; esac
  fi
fi
j=$(launchctl print "$D/$L" 2>/dev/null); printf '%s\n' "$j" | lines gateway.print
J=${j#*"
	pid = "}; if [ "$J" = "$j" ]; then J=; else J=${J%%"
"*}; fi
case $(launchctl print-disabled "$D" 2>/dev/null) in
  *"\"$L\" => disabled"*|*"\"$L\" => true"*) kv gateway.override disabled;;
  *"\"$L\" => enabled"*|*"\"$L\" => false"*) kv gateway.override enabled;; esac

# Homebrew: by the file that exists; `uname -m` lies under Rosetta. What is installed: by its own
# folders and links, as `brew list` takes a second and hides the renamed cask.
B=
for p in ${PREFIX:-/opt/homebrew /usr/local}; do [ -x "$p/bin/brew" ] && { B=$p; break; }; done
version_of() { v=$(readlink "$B/opt/$1" 2>/dev/null); v=${v##*/}; }
if [ -n "$B" ]; then
  kv brew.prefix "$B"
  [ -L "$B/opt/ollama" ] && version_of ollama && kv ollama.formula "$v"
  for t in ollama-app ollama; do
    d=$B/Caskroom/$t
    [ -d "$d" ] && [ ! -L "$d" ] && for m in "$d"/.metadata/*/*/Casks/"$t".*; do
      [ -e "$m" ] && { kv ollama.cask "$t"; break; }; done
  done
  [ -L "$B/bin/ollama" ] && kv ollama.link "$(readlink "$B/bin/ollama")"
  # brew puts the job into user/UID where an SSH session had a terminal and nobody was logged in
  d=$(launchctl print "system/ai.clawfleet.ollama" 2>/dev/null)
  if [ $SERVICES = daemons ]; then
    [ -e "$HOME/Library/LaunchAgents/homebrew.mxcl.ollama.plist" ] && kv ollama.twin yes
  else { [ -n "$d" ] || [ -e /Library/LaunchDaemons/ai.clawfleet.ollama.plist ]; } && kv ollama.twin yes; d=; fi
  for t in "$G" "user/$U"; do
    b=$(launchctl print "$t/homebrew.mxcl.ollama" 2>/dev/null) || continue
    [ $SERVICES = agents ] || kv ollama.twin yes
    d=${d:-$b}; break; done
  [ -z "$d" ] || printf '%s\n' "$d" | lines ollama.print
# else sudo is needed only by Homebrew's installer; asking without need would be logged on the Mac
elif [ $SERVICES = agents ] && sudo -n true >/dev/null 2>&1; then kv sudo.free yes; fi
for a in /Applications "$HOME/Applications"; do
  [ -d "$a/Ollama.app" ] && { kv ollama.app "$a/Ollama.app"
    kv ollama.app.version "$(plutil -extract CFBundleShortVersionString raw -o - \
      "$a/Ollama.app/Contents/Info.plist" 2>/dev/null)"
    for i in $(pgrep -x -U "$U" Ollama); do kv ollama.app.pid "$i"; done
    # Read only, and only these columns: the rest is the user's own. Without a journal nobody has it
    # open: "immutable" then, as sqlite3 would else leave two files beside it.
    (cd "$HOME/Library/Application Support/Ollama" 2>/dev/null && [ -f db.sqlite ] || exit 0
      kv ollama.app.database yes; d=db.sqlite; [ -e db.sqlite-wal ] || d='file:db.sqlite?immutable=1'
      sqlite3 -readonly -batch -init /dev/null -line "$d" 'SELECT * FROM settings WHERE id = 1;' 2>/dev/null \
        | sed -nE 's/^ *((schema_version|context_length|auto_update_enabled|expose) = )/\1/p' | lines ollama.app.setting)
    break; }
done

# Ports: listeners only (-sTCP:LISTEN), as clients are of no concern here
o=$(lsof -nP "-tiTCP:$OLLAMA_PORT" -sTCP:LISTEN 2>/dev/null)
g=$(lsof -nP "-tiTCP:$GATEWAY_PORT" -sTCP:LISTEN 2>/dev/null)
for i in $o; do kv ollama.port "$i"; done
for i in $g; do kv gateway.port "$i"; done
p=; for i in $o $g $J; do case ",$p," in *",$i,"*) ;; *) p=${p:+$p,}$i;; esac; done
# When a process was started is told from the clock and its age: both within a second, which may take
# some tries on a busy Mac
for i in 1 2 3 4 5; do
  now=$(date +%s); a=${p:+$(ps -o pid= -o ppid= -o etime= -o command= -p "$p")}
  [ "$(date +%s)" -gt $((now + 1)) ] || break
done
kv now "$now"; [ -z "$a" ] || printf '%s\n' "$a" | lines process
# Names only, as the values may hold passwords; of NO_PROXY the value counts. HOME shows that macOS
# showed the environment at all, which it does not for programs that it protects.
V='https?_proxy|all_proxy|HTTPS?_PROXY|ALL_PROXY|OPENCLAW_PROXY_URL'
for i in $g; do ps eww -o command= -p "$i" 2>/dev/null | tr ' ' '\n' \
  | sed -nE "s/^((no_proxy|NO_PROXY)=.*)/\1/p;s/^($V|HOME)=..*/\1/p" | lines gateway.env; done
# OLLAMA_* of its server, without what could be a secret; a PATH shows that macOS lets us look
for i in $o; do ps eww -o command= -p "$i" 2>/dev/null | tr ' ' '\n' | sed -nE '/^OLLAMA_[A-Z_]*(KEY|TOKEN|SECRET|PASS)/d
  s/^(OLLAMA_[A-Z_]*=)/ollama.variable	\1/p
  s/^PATH=.*/ollama.environment	yes/p'; done
a=$(curl -q -s --noproxy '*' --connect-timeout 2 -m 6 -w '\n' "http://127.0.0.1:$OLLAMA_PORT/api/version" \
  "http://127.0.0.1:$OLLAMA_PORT/api/tags" 2>/dev/null); kv ollama.curl $?
printf '%s\n' "$a" | lines ollama.api
# lsof shows this user's processes only
[ -z "$o" ] && launchctl print system/homebrew.mxcl.ollama >/dev/null 2>&1 && kv ollama.root yes
# The shape of the wanted models, each followed by its name: of the answer, which holds a license as
# well, only the one object that says it. An Ollama without the model answers with an error.
set --; IFS='
'; set -f; for m in $SHOW; do
  set -- "$@" ${1:+--next} -s --noproxy '*' --connect-timeout 2 -m 6 -w "\\n=$m\\n" \
    -d "{\"model\":\"$m\"}" "http://127.0.0.1:$OLLAMA_PORT/api/show"; done; set +f; unset IFS
[ -n "$o" ] && [ $# -gt 0 ] && curl -q "$@" 2>/dev/null \
  | sed 's/.*"model_info":\({[^}]*}\).*/\1/' | lines ollama.show
curl -q -s --noproxy '*' --connect-timeout 2 -m 6 -o /dev/null -w '%{http_code}\n' \
  "http://127.0.0.1:$GATEWAY_PORT/" --next -s --noproxy '*' --connect-timeout 2 -m 6 \
  "http://127.0.0.1:$GATEWAY_PORT/healthz" 2>/dev/null | head -c 400 | lines gateway.http

# Ollama's store, also of a server that does not run, and the disk that it lies on. The variables of
# Homebrew's service win over those of the GUI domain.
E=$HOME/.homebrew/services/ollama.env
if [ -n "$B" ] && [ -L "$B/opt/ollama" ] && [ -r "$E" ]; then
  m=$(sed -n 's/^OLLAMA_MODELS=//p' "$E"); m=${m##*
}; M=${m:-$M}
fi
case $M in /*) ;; *) M=$HOME/.ollama/models;; esac
kv store.path "$M"
[ -z "$o" ] && (cd "$M/manifests" 2>/dev/null && for m in */*/*/*; do
  [ -f "$m" ] && kv ollama.manifest "$m"; done)
# An unfinished download is as long as the whole from its first byte on: how much of it is there, only
# the notes of its parts tell.
(cd "$M/blobs" 2>/dev/null || exit
  ls -lnL . 2>/dev/null | while read -r mode n u g size month day time name more; do
    case $mode in -*) ;; *) continue;; esac
    case $name$more in *-partial*) ;; sha256-*) kv store.blob "$size $name$more";; esac; done
  for m in sha256-*-partial-*; do
    n=; [ -f "$m" ] && { read -r n < "$m" || [ -n "$n" ]; } && kv store.part "$m $n"; done)
# What came from another Mac before that was cut off (scripts/lan-store.sh)
(cd -P "$M/blobs" 2>/dev/null && cd ../clawfleet-incoming 2>/dev/null || exit
  ls -ln . 2>/dev/null | while read -r mode n u g size month day time name; do
    case $mode in -*) kv store.incoming "$size $name";; esac; done)
d=$M; until [ -d "${d:-/}" ]; do d=${d%/*}; done
df -Pk "${d:-/}" | lines df

# Node and OpenClaw: an SSH session's PATH has neither Homebrew nor npm's folders
IFS=:; set -f; path=; for d in $PATH; do path="$path $d"; done; set +f; unset IFS
for d in "$HOME/.openclaw/bin" "$HOME/.npm-global/bin" "$HOME/Library/pnpm" "$HOME/.local/bin" \
  ${B:+"$B/bin"} /usr/local/bin $path; do
  [ -x "$d/openclaw" ] && { kv openclaw.bin "$d/openclaw"; O=$d; break; }
done
if [ -n "${O:-}" ]; then
  r=$(readlink -f "$O/openclaw" 2>/dev/null || echo "$O/openclaw")
  # pnpm's entry is a shell script that names the package
  case $r in *.mjs|*.js) ;; *)
    t=$(sed -n 's/.*"\$basedir\/\([^"]*openclaw\.mjs\)".*/\1/p' "$r" | head -1)
    [ -n "$t" ] && r=$(cd "${r%/*}/${t%/*}" 2>/dev/null && pwd)/openclaw.mjs ;; esac
  kv openclaw.entry "$r"
  sed -n 's/^ *"version": *"\([^"]*\)".*/\1/p;/"version"/q' "${r%/*}/package.json" 2>/dev/null | lines openclaw.version
  # npm gives every file the modification time of 1985
  kv openclaw.since "$(stat -f %c "${r%/*}/package.json" 2>/dev/null)"
fi
P=$JOBS/$L.plist
n=$(sed -n 's/.*<string>\(.*\/node\)<\/string>.*/\1/p' "$P" 2>/dev/null | head -1)
for d in ${O:+"$O"} ${n:+"${n%/*}"} ${B:+"$B/opt/node@24/bin" "$B/opt/node@22/bin" "$B/opt/node/bin"} \
  /usr/local/bin $path; do
  [ -x "$d/node" ] || continue
  case " ${seen:-} " in *" $d "*) continue;; esac; seen="${seen:-} $d"
  f=$(readlink -f "$d/node" 2>/dev/null)
  case $f in # Homebrew's and nvm's paths name the version
    */Cellar/node*/bin/node) v=${f%/bin/node}; v=${v##*/};;
    */node/v[0-9]*/bin/node) v=${f%/bin/node}; v=${v##*/};;
    *) v=$("$d/node" --version 2>/dev/null);; esac
  kv node "$d/node $v"
done
for t in npm pnpm; do for d in ${O:+"$O"} ${B:+"$B/bin" "$B/opt/node@24/bin" "$B/opt/node@22/bin"} \
  "$HOME/Library/pnpm" /usr/local/bin; do [ -x "$d/$t" ] && { kv "$t.bin" "$d/$t"; break; }; done; done

# Files: secrets inside stay in the snapshot and are printed nowhere
set --
cd -P "$HOME" && kv home.physical "$PWD"; H=$PWD; F=
file() {
  kv "file.$1" "$2"; t=$2
  if [ -L "$2" ]; then t=$(readlink -f "$2" 2>/dev/null || readlink "$2"); kv "file.$1.link" "$t"; fi
  # Where it really lies: a link in place of a folder may lead anywhere. `cd -P` costs no process.
  case $t in /*) ;; *) t=${2%/*}/$t;; esac
  d=${t%/*}; until cd -P "${d:-/}" 2>/dev/null; do d=${d%/*}; done
  d=$PWD; kv "file.$1.folder" "$d"
  # Up to the home folder: whoever may write into one of these may exchange the next
  while case "$F
" in *"
$d
"*) false;; esac; do
    F="$F
$d"
    case $d in "$H"/?*/?*) d=${d%/*};; esac
  done
  [ -e "$2" ] || return 0
  if [ ! -f "$2" ]; then kv "file.$1.trouble" "not a regular file"; return 0; fi
  if [ ! -r "$2" ]; then kv "file.$1.trouble" "not readable by this user"; return 0; fi
  return 1
}
S=$HOME/.openclaw; A=$S/agents/$AGENT
kv state.dir "$S"; [ -d "$S" ] && set -- "$S"   # for its mode
[ -L "$S" ] && kv state.link "$(readlink -f "$S" 2>/dev/null || readlink "$S")"
cd -P "$S" 2>/dev/null && kv state.physical "$PWD"
file config "$S/openclaw.json" || set -- "$@" "$S/openclaw.json"
file auth "$A/agent/auth-profiles.json" || set -- "$@" "$A/agent/auth-profiles.json"
file dotenv "$S/.env" || set -- "$@" "$S/.env"
file service_env "$S/service-env/$L.env" || set -- "$@" "$S/service-env/$L.env"
file plist "$P" || set -- "$@" "$P"
file ollama_env "$HOME/.homebrew/services/ollama.env" || set -- "$@" "$HOME/.homebrew/services/ollama.env"
W=$JOBS/ai.clawfleet.preload.plist
file preload "$W" || { set -- "$@" "$W"; launchctl print "$D/ai.clawfleet.preload" 2>/dev/null | lines preload.print; }
[ $SERVICES = agents ] || file ollama_daemon "$JOBS/ai.clawfleet.ollama.plist" || set -- "$@" "$JOBS/ai.clawfleet.ollama.plist"
[ -n "$B" ] && { file brew_env "$B/etc/homebrew/brew.env" || set -- "$@" "$B/etc/homebrew/brew.env"; }
for n in owned:owned.json installed:installed unfinished:unfinished restart_needed:restart-needed \
  started:started started_config:started.json domain:domain; do
  file "${n%:*}" "$HOME/.clawfleet/${n#*:}" || set -- "$@" "$HOME/.clawfleet/${n#*:}"; done
IFS='
'; set -f; for f in $ALSO; do unset IFS; kv also "$f"; file "also.$f" "$f" || set -- "$@" "$f"; done; set +f; unset IFS
# Ollama finds a name that is there whatever its case
for m in $MODELS; do
  [ -f "$M/manifests/$m" ] || m=$(cd "$M/manifests" 2>/dev/null && find . -type f -ipath "./$m" | head -1)
  m=${m#./}; [ -n "$m" ] || continue
  kv store.manifest "$m"; [ -r "$M/manifests/$m" ] && set -- "$@" "$M/manifests/$m"; done
[ -f "$S/state/openclaw.sqlite" ] && kv openclaw.sqlite yes
[ -f "$A/agent/openclaw-agent.sqlite" ] && kv openclaw.sqlite yes
IFS='
'; set -f; set -- "$@" $F; set +f; unset IFS
# COPYFILE_DISABLE: else macOS' tar adds an AppleDouble entry for each extended attribute
[ $# -gt 0 ] && { printf 'files.tar\t'
  COPYFILE_DISABLE=1 tar --no-recursion -cPhf - "$@" 2>/dev/null | base64 | tr -d '\n'; echo; }
# Proxies in places that the gateway does not start from: "file<TAB>names", never a value
names() { kv "$1" "$2	$(sort -u | tr '\n' ' ')"; }
cd "$HOME" 2>/dev/null && {
  for f in $(grep -lE "^[^#]*(($V)=|setenv +[\"']?($V))" .zshenv .zprofile .zshrc .zlogin .profile \
    .bash_profile .bashrc 2>/dev/null); do
    grep -v '^ *#' "$f" | tr ' \t;&|(){}' '\n' \
      | sed -nE "s/=(\"\"|'')\$/=/;s/^[\"']?($V)=..*/\1/p" | names shell.proxy "$f"
    grep -v '^ *#' "$f" | sed -nE "s/.*setenv +[\"']?($V).*/\1/p" | names shell.setenv "$f"
  done
  grep -lE "($V)" Library/LaunchAgents/*.plist 2>/dev/null | while IFS= read -r f; do
    grep -i setenv "$f" >/dev/null && grep -aoE "($V)" "$f" | names agent.proxy "$f"; done; }
for f in /etc/homebrew/brew.env "$HOME/.homebrew/brew.env" "$HOME/.config/homebrew/brew.env"; do
  [ -r "$f" ] && sed -nE 's/^((all|https?)_proxy)=..*/\1/p' "$f" | names brew.proxy "$f"; done
scutil --proxy 2>/dev/null \
  | sed -nE 's/^  ((HTTP|HTTPS|SOCKS|ProxyAutoConfig)(Enable|Port|Proxy)) : (.*)/\1 \4/p' | lines system.proxy
kv clawfleet.end 1
