# stop_app ends Ollama.app gracefully and waits until its port is free. Needs ollama-port.sh.
app_runs() { pgrep -x -U "$(id -u)" Ollama >/dev/null; }
stop_app() {
  pkill -x -U "$(id -u)" Ollama
  end=$(($(date +%s) + 20))
  while { [ -n "$(listeners)" ] || app_runs; } && [ "$(date +%s)" -lt $end ]; do sleep 0.5; done
  free
}
