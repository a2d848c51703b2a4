# Waits until the running gateway has applied the openclaw.json that was put in its place, and closes the
# run's transaction. Set in front of it by the caller: BOUND (seconds) and what well.sh needs, which has
# to be in front of it as well as launchd.sh and commit.sh.
# The texts are those of OpenClaw 2026.2.17 and 2026.9.6.
pid0=$(sed -n 's/^pid	//p' "$B/running")
written_since() {
  while IFS='	' read -r n f; do
    [ "$n" = pid ] || tail -c "+$((n+1))" "$f" 2>/dev/null
  done < "$B/running"
}
seen="nothing in its log"; end=$(($(date +%s) + BOUND))
while :; do
  [ "$(job pid)" = "$pid0" ] || { seen="pid $pid0 has ended"; break; }
  case $(written_since | grep -F '[reload]') in
  *"requires gateway restart"*|*"reload skipped"*|*"reload failed"*|*"reload disabled"*)
    seen=$(written_since | grep -F '[reload]' | tail -1 | cut -c1-200); break;;
  *"config hot reload applied"*|*"config change applied (dynamic reads"*) seen=; break;;
  esac
  left $end || break
  sleep 0.3
done
[ -z "$seen" ] || { say "the running gateway did not apply it: $seen"; exit 1; }
# With what it was started stays true, but for what it has applied.
[ ! -f "$S" ] || cp "$HOME/.openclaw/openclaw.json" "$S.json"
well || { say "it applied the change, and then: $why"; exit 1; }
[ "$pid" = "$pid0" ] || { say "it applied the change, and then pid $pid0 ended"; exit 1; }
rm -f "$B/running" "$HOME/.clawfleet/restart-needed" "$HOME/.clawfleet/unfinished"
