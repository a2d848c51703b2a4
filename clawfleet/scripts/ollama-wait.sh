# Waits until the server answers on PORT with the version in WANT, in JSON's quotes (empty: any), at
# most 60 s.
end=$(($(date +%s) + 60)); v=
while [ "$(date +%s)" -lt $end ]; do
  v=$(curl -q -s --noproxy '*' --connect-timeout 1 -m 3 "http://127.0.0.1:$PORT/api/version")
  case $v in *'"version"'*"$WANT"*) exit 0;; esac
  sleep 0.5
done
echo "after 60 s port $PORT answers ${v:-nothing}, expected version ${WANT:-any}" >&2
exit 1
