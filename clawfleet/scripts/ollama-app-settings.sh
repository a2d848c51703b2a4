# Ends Ollama.app, keeps a copy of its settings database, and sets the context length in it to CONTEXT;
# the caller starts the app again after it. The format is another program's: unless it is as known,
# nothing is changed. Set in front of it by the caller: PORT, CONTEXT, RECORD (the name of the note in
# ~/.clawfleet/installed). Needs commit.sh, ollama-port.sh and ollama-app-stop.sh (as the function
# stop_app) in front of it too.
d="$HOME/Library/Application Support/Ollama/db.sqlite"
sql() { sqlite3 -batch -init /dev/null -cmd '.timeout 5000' "$d" "$1" 2>/dev/null; }
context() { sql 'SELECT context_length FROM settings WHERE id = 1;'; }
c=; end=$(($(date +%s) + 20))   # the app makes it at its first start
until [ -n "$c" ] || [ "$(date +%s)" -ge $end ]; do
  [ -f "$d" ] && c=$(context); [ -n "$c" ] || sleep 0.5; done
case $c in ''|*[!0-9]*)
  echo "$d is not as Ollama.app's known versions have it, and was left alone" >&2; exit 1;;
esac
[ "$c" = "$CONTEXT" ] && exit 0
stop_app
for f in "$d" "$d-wal"; do also "$f" "Ollama-${f##*/}"; done
sql "UPDATE settings SET context_length = $CONTEXT WHERE id = 1;"
if [ "$(context)" != "$CONTEXT" ]; then
  open -j -a Ollama; echo "$d could not be changed (context length $(context))" >&2; exit 1
fi
printf '%s\n' "$RECORD $c $CONTEXT" >> "$HOME/.clawfleet/installed"
