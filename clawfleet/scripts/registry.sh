# Asks the registry for a manifest, in the way that Ollama's server takes: with the proxy that it has
# from launchd's GUI domain, or from Homebrew's service file, which wins. Its value stands in no argument.
# Set in front of it by the caller: URL, and SERVICE: yes where Homebrew runs the server.
unset http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY
take() { while IFS= read -r l || [ -n "$l" ]; do case $l in
  HTTPS_PROXY=?*|https_proxy=?*|NO_PROXY=?*|no_proxy=?*) export "$l";; esac; done; }
take <<END
$(launchctl print "gui/$(id -u)" 2>/dev/null | sed -n 's/^		\([A-Za-z_]*\) => /\1=/p')
END
E=$HOME/.homebrew/services/ollama.env
[ "$SERVICE" = yes ] && [ -r "$E" ] && take < "$E"
# Go asks the upper-case name first, curl the other.
[ -z "${HTTPS_PROXY:-}" ] || export https_proxy="$HTTPS_PROXY"
[ -z "${NO_PROXY:-}" ] || export no_proxy="$NO_PROXY"
curl -q -sS -L --connect-timeout 15 -m 60 -w '\n%{http_code}' \
  -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' "$URL" | base64
