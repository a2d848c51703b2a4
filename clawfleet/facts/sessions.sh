# Reads the agent's conversations, with OpenClaw's own counts of tokens. Needs reading.sh in front of it.
# Set in front of it by the caller: AGENT, STORE (file, sqlite, or empty).
A=$HOME/.openclaw/agents/$AGENT
case $STORE in
  file) s=$A/sessions/sessions.json
    if [ -f "$s" ]; then
      b=$(wc -c < "$s"); kv sessions.bytes "${b##* }"
      [ "$b" -gt 8388608 ] || kv sessions.json "$(base64 < "$s" | tr -d '\n')"
    fi;;
  sqlite) s=$A/agent/openclaw-agent.sqlite
    if [ -f "$s" ]; then
      # Without a journal that somebody keeps open, "immutable" leaves no file beside it.
      if [ -s "$s-wal" ] && [ -e "$s-shm" ]; then m=mode=ro; else m=immutable=1; fi
      u=$(printf '%s' "$s" | sed 's/%/%25/g;s/?/%3f/g;s/#/%23/g')
      what sessions.rows sqlite3 -readonly -batch -init /dev/null "file:$u?$m" \
        "select session_key || char(9) || entry_json from session_nodes"
    fi;;
esac
