# Head of every script that starts Ollama's server. Set in front of it by the caller: PORT.
PATH="$PATH:/usr/sbin:/sbin"
LC_ALL=C; export LC_ALL
listeners() { lsof -nP "-tiTCP:$PORT" -sTCP:LISTEN 2>/dev/null | sort -u; }
# lsof shows this user's processes only; curl's 7 is "connection refused"
refused() { curl -q -s -o /dev/null --noproxy '*' --connect-timeout 2 -m 3 "http://127.0.0.1:$PORT/"; [ $? -eq 7 ]; }
taken() {
  p=$(listeners | head -1)
  echo "port $PORT is taken${p:+ by pid $p: $(ps -o command= -p "$p" | cut -c1-120)}" >&2; exit 1
}
# free: nothing is started beside a server that came since the Mac was read. The app would end it.
free() { refused || taken; }
OLD=$(listeners)
