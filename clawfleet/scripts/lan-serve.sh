# All that the other Mac can run here: "sha256-HEX N" prints one line, then that blob from its Nth
# mebibyte on. The folder holds what it may ask for. Nothing of the request is run or is a path.
set -f
LC_ALL=C
refuse() { echo "refused: $1"; exit 1; }
D=$HOME/.clawfleet/lan
IFS= read -r STORE < "$D/store" || refuse "no access is open"
set -- ${SSH_ORIGINAL_COMMAND-}
[ $# -eq 2 ] || refuse "expected a name and a number"
case $1 in sha256-*) ;; *) refuse "not a blob";; esac
case ${1#sha256-} in *[!0-9a-f]*) refuse "not a blob";; esac
case $2 in ''|*[!0-9]*|???????*) refuse "not a number";; esac
grep -qxF -e "$1" "$D/allow" || refuse "not one of the wanted blobs"
f=$STORE/blobs/$1
[ -f "$f" ] && [ ! -L "$f" ] || refuse "no such file"
: > "$D/reading/$$"
printf 'clawfleet %s\n' "$(stat -f %z "$f")"
exec dd if="$f" bs=1048576 skip="$2" 2>/dev/null
