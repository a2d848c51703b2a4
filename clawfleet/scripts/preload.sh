# Runs the job that preloads models, and waits until it has ended. Set in front of it by the caller:
# NEW (yes: launchd has to read its file again), LIMIT (seconds), SERVICES (agents or daemons).
LC_ALL=C; export LC_ALL
L=ai.clawfleet.preload
if [ $SERVICES = daemons ]; then D=system; P=/Library/LaunchDaemons/$L.plist; R='sudo -n'
else D=gui/$(id -u); P=$HOME/Library/LaunchAgents/$L.plist; R=; fi
job() { launchctl print "$D/$L" 2>/dev/null | sed -n 's/^	'"$1"' = //p' | head -1; }
loaded() { launchctl print "$D/$L" >/dev/null 2>&1; }
left() { [ "$(date +%s)" -lt "$1" ]; }
# launchd would make the log of a daemon root's, and then no LaunchAgent could write it.
[ -z "$R" ] || { $R true && (umask 077; mkdir -p "$HOME/.clawfleet"; touch "$HOME/.clawfleet/preload.log"); } || exit 1
if [ $NEW = yes ] || ! loaded; then
  $R launchctl bootout "$D/$L" 2>/dev/null
  end=$(($(date +%s) + 30)); while loaded && left $end; do sleep 0.5; done
  $R launchctl enable "$D/$L"; n=0
  until $R launchctl bootstrap "$D" "$P" 2>/dev/null; do
    r=$?; loaded && break
    left $end || { echo "launchctl bootstrap of $P answers $r" >&2; exit 1; }
    sleep 0.5
  done
else
  n=$(job runs)
  $R launchctl kickstart "$D/$L" 2>/dev/null; r=$?   # 37: it runs already
  [ $r -eq 0 ] || [ $r -eq 37 ] || { echo "launchctl kickstart of $L answers $r" >&2; exit 1; }
  [ $r -eq 37 ] && n=$((n-1))
fi
end=$(($(date +%s) + LIMIT))
while left $end; do
  [ "$(job runs)" -gt "${n:-0}" ] && [ -z "$(job pid)" ] && {
    [ "$(job 'last exit code')" = 0 ] && exit 0
    break; }
  sleep 0.5
done
tail -3 "$HOME/.clawfleet/preload.log" >&2 2>/dev/null
echo "the models were not loaded within $LIMIT s; launchd: $(job state), last exit $(job 'last exit code')" >&2
exit 1
