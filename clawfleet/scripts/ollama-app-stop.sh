# Ends Ollama.app gracefully and waits until PORT is free.
pkill -x Ollama
end=$(($(date +%s) + 20))
while lsof -nP "-tiTCP:$PORT" -sTCP:LISTEN >/dev/null 2>&1 && [ "$(date +%s)" -lt $end ]; do
  sleep 0.5
done
