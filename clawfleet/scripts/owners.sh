# Files of launchd's own folder for daemons are root's; all others that are written are the user's.
# A path that leads on from there, as in a list that was tampered with, is never root's to touch.
# own FILE COMMAND...: as whoever may do that to FILE
own() {
  case $1 in
  /Library/LaunchDaemons/*/*) shift; "$@";;
  /Library/LaunchDaemons/*) shift; sudo -n "$@";;
  *) shift; "$@";;
  esac
}
# like FROM TO: a copy with the times and mode of the original; a plist that only some may read can
# hold a secret
like() {
  case $2 in
  /Library/LaunchDaemons/*/*) cp -p "$1" "$2";;
  /Library/LaunchDaemons/*) sudo -n cp -p "$1" "$2" && sudo -n chown 0:0 "$2";;
  *) cp -p "$1" "$2";;
  esac
}
