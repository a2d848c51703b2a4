# Lets one other Mac read the wanted blobs of this one, and nothing else, until standard input ends:
# that is when the run that asked for it ends, in whatever way. Comes after lan-keys.sh.
# Set in front of it by the caller: RUN, KEY (the public key), FROM (an address), BOUND (seconds), STORE
# (where Ollama's models lie; a path), ALLOW (names of blobs), SERVE (text of lan-serve.sh)
if [ -d "$D" ] && alive; then echo "another run reads from this Mac" >&2; exit 75; fi
trap '' HUP PIPE INT TERM
mkdir -p "$HOME/.clawfleet" && chmod 700 "$HOME/.clawfleet" && take_back || exit 1
until=$(($(date +%s) + BOUND))
mkdir "$D" "$D/reading" && echo $$ > "$D/keeper" && echo $until > "$D/until" || exit 1
printf '%s\n' $ALLOW > "$D/allow"; printf '%s\n' "$STORE" > "$D/store"; printf '%s\n' "$SERVE" > "$D/serve"
# The clock is this Mac's own, whatever the others' say. Local time: OpenSSH before 9.1 knows no other.
expiry=$(date -r $until +%Y%m%d%H%M%S)
command='/bin/sh \"$HOME/.clawfleet/lan/serve\"'
give "restrict,from=\"$FROM\",expiry-time=\"$expiry\",command=\"$command\" $KEY clawfleet-lan-$RUN" || { take_back; exit 1; }
# Should this shell be killed, or the bound be reached, somebody else takes it back.
( while sleep 2; do
    [ "$(cat "$D/keeper" 2>/dev/null)" = $$ ] || exit 0
    kill -0 $$ 2>/dev/null && [ "$(date +%s)" -lt $until ] || break
  done; take_back ) > /dev/null 2>&1 < /dev/null &
echo open
cat > /dev/null
take_back && echo closed
