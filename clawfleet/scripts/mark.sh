# Before openclaw.json is replaced under a running gateway: which process that is, and how long its logs
# are. Needs launchd.sh and commit.sh in front of it.
{
  printf 'pid\t%s\n' "$(job pid)"
  for f in "$(job 'stdout path')" "$(job 'stderr path')"; do
    [ ! -f "$f" ] || printf '%s\t%s\n' "$(wc -c < "$f" | tr -d ' ')" "$f"
  done
} > "$B/running" || exit 1
