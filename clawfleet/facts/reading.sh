# Head of the reading scripts beside mac.sh. They print as it does: "name<TAB>value", text of several lines
# as "name:l<TAB>line".
LC_ALL=C; export LC_ALL
PATH="$PATH:/usr/sbin:/sbin"
umask 077
kv() { printf '%s\t%s\n' "$1" "$2"; }
lines() { while IFS= read -r l || [ -n "$l" ]; do printf '%s:l\t%s\n' "$1" "$l"; done; }
# what NAME COMMAND...: its output, and its exit code as NAME.rc
what() { w=$1; shift; o=$("$@" 2>&1 </dev/null); kv "$w.rc" $?; [ -z "$o" ] || printf '%s\n' "$o" | lines "$w"; }
kv clawfleet.reading 1
