# Takes one blob from standard input, after this script has said that it is ready. Comes after
# lan-store.sh. Set in front of it by the caller: HEX, SIZE. Exit codes as those of lan-fetch.sh.
skip=$(($(size "$T/$HEX.part") / 1048576))
echo "ready $skip"
head -c $((SIZE - skip * 1048576 + 1)) | dd of="$T/$HEX.part" bs=1048576 seek=$skip 2>/dev/null || exit 73
# The rest of what was too much, so that the sender is not left standing.
cat > /dev/null
judge "$HEX" "$SIZE"; code=$?
rmdir "$T" 2>/dev/null
exit $code
