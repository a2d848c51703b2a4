# Starts Ollama.app hidden. Quarantine would ask at the screen, and a missing link in /usr/local/bin
# for an administrator's password, before the server starts (ollama app_darwin.m installSymlink).
a=/Applications/Ollama.app; [ -d "$a" ] || a=$HOME/Applications/Ollama.app
xattr -dr com.apple.quarantine "$a" 2>/dev/null
l=/usr/local/bin/ollama; t=$a/Contents/Resources/ollama
[ "$(readlink $l)" = "$t" ] \
  || { sudo -n mkdir -p /usr/local/bin && sudo -n ln -sfn "$t" $l; } 2>/dev/null
open -j -a "$a" || exit 1
