# Files of launchd's own folder for daemons are root's; all others that are written are the user's.
# own FILE COMMAND...: as whoever may do that to FILE
own() { case $1 in /Library/LaunchDaemons/*) shift; sudo -n "$@";; *) shift; "$@";; esac; }
# like FROM TO: a copy with the times and mode of the original; where TO is root's, as launchd wants it
like() {
  case $2 in
  /Library/LaunchDaemons/*) sudo -n install -o 0 -g 0 -m 644 "$1" "$2";;
  *) cp -p "$1" "$2";;
  esac
}
