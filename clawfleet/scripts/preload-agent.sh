# The program of the LaunchAgent: loads models into Ollama's memory after a login, once its server
# answers. Set in front of it: PORT; and behind it, for each model: load NAME REQUEST.
PATH=/usr/bin:/bin:/usr/sbin:/sbin; LC_ALL=C; export PATH LC_ALL
A="http://127.0.0.1:$PORT"; r=0
log() { echo "$(date '+%Y-%m-%d %H:%M:%S') $*" >&2; }
ask() { curl -q -s --noproxy '*' --connect-timeout 2 "$@"; }
end=$(($(date +%s) + 600))
until ask -f -m 5 -o /dev/null "$A/api/version"; do
  [ "$(date +%s)" -lt $end ] || { log "no Ollama on port $PORT after 600 s"; exit 1; }
  sleep 2
done
load() {
  o=$(ask -m 900 -X POST -d "$2" "$A/api/generate") && case $o in *'"done_reason":"load"'*)
    log "$1 is loaded"; return 0;; esac
  log "$1 was not loaded: $(printf '%s' "${o:-no answer}" | head -c 200)"; r=1
}
