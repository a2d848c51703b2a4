"""Every setting with its default and the reason. Override per group or host in hosts.yml, or for
one run with `--data KEY=VALUE`. Unknown keys and wrong values are refused before a Mac is touched.
"""

# --- The way to a Mac -------------------------------------------------------------------------

# What happens with a host key that is not in known_hosts: "accept-new" (pyinfra's own default)
# takes it at the first connection and writes it down, "yes" refuses it, "ask" asks, "no" takes it
# each time. A key that has changed is refused with every one of them. This wins over
# StrictHostKeyChecking in ~/.ssh/config. A fleet whose keys are known: set "yes".
ssh_strict_host_key_checking = "accept-new"

# --- Homebrew ---------------------------------------------------------------------------------

# Where Homebrew lies. None: found by which bin/brew exists (/opt/homebrew, then /usr/local).
homebrew_prefix = None

# Mirror for networks where github.com and ghcr.io are slow: "ustc", "tuna", or a mapping of
# HOMEBREW_* variables. A preset sets the API, the bottles and both git remotes, for the installer
# and for every later brew call: the installer's address alone still clones from github.com.
homebrew_mirror = None

# Address of the installer script. None: Homebrew's own, or the mirror's copy of it.
homebrew_installer = None

# --- Ollama -----------------------------------------------------------------------------------

# "auto" keeps what is there, and installs the formula where nothing is. The formula runs as a
# launchd service with flash attention and an 8-bit KV cache, never updates itself, shows no dialog,
# reads its environment from a file, and its bottle is on the mirrors; the app ("cask") needs a
# login at the screen and updates itself. "formula" and "cask" insist; see docs/ollama.md.
ollama_install = "auto"

# The version that must be there, such as "0.32.3". None: any. Homebrew installs only its newest,
# so another one is reported with the commands that bring it, and never exchanged behind your back.
ollama_version = None

# Port on 127.0.0.1.
ollama_port = 11434

# More variables for Ollama's server, such as {"OLLAMA_KEEP_ALIVE": "30m"}. With the formula they
# are kept in ~/.homebrew/services/ollama.env (Homebrew 6).
ollama_environment = {}

# How long a model stays in memory after a request: "30m", seconds, or -1 for ever. None: Ollama's
# own five minutes. For the formula's server; Ollama.app's gets it for preloaded models only.
keep_alive = None

# Models that are loaded after a deploy and after every login, so that the first request does not
# wait for 18 GB: "primary", or a list of ids. None: none. Only as many as fit into the GPU's memory
# together. Useful with a keep_alive: after five minutes they would go again.
preload = None

# Ollama.app's own settings (a database of its) win over its environment, and before 0.17 say 4096
# tokens. "leave": they are the user's, and a note says what they are; "change": the context length
# in them is set, with a copy of the database kept in the run's backup.
ollama_app_settings = "leave"

# --- Models -----------------------------------------------------------------------------------

# Tokens of context per request that are wished: a Mac that can't hold so many promises what it can,
# to OpenClaw and to Ollama alike, and the diff says so. A plain "hi" of OpenClaw is some 12,000
# tokens, Ollama's own default on most Macs up to 32 GB is 4096, and what does not fit is dropped in
# silence. 32768 is what both models below can hold on 32 GB (docs/models.md has the sums); an
# OpenClaw that can't work with so few gets the least that it can.
context_window = 32768

# Models that Ollama shall hold and OpenClaw shall know, each {id, name, reasoning, input,
# context_window, max_tokens, size}. size (bytes of the weights) is for the plan of disk and memory
# before a pull; afterwards Ollama tells it.
models = [
    {
        "id": "gpt-oss:20b",
        "name": "GPT-OSS 20B (Local)",
        "reasoning": True,
        "size": 13_793_441_244,
    },
    {
        "id": "qwen3-coder",
        "name": "Qwen3 Coder (Local)",
        "reasoning": False,
        "size": 18_556_688_736,
    },
]

# Address of a proxy for Ollama's own downloads, such as "http://192.168.1.5:7890" (no user or
# password in it: that line belongs into the Mac's own ollama.env). It goes into the environment of
# Ollama's server only; the gateway does not see it. With the formula only: Ollama.app has its
# variables from launchd's GUI domain, which the gateway has as well.
pull_proxy = None

# Seconds without a new byte after which a pull is begun again; it resumes where it was. Ollama
# itself waits for ever when a download's first byte does not come (0.16).
pull_stall = 60

# File beside hosts.yml that pins the build of each model, and the versions of Ollama and OpenClaw,
# for the whole fleet. Where there is none, whatever is published is pulled. tasks/lock.py writes it
# from what the Macs have; --data lock_from=HOST takes that Mac's word where they differ
# (docs/models.md).
models_lock = "models.lock"
lock_from = None

# "none": each Mac pulls its models from the internet. "lan": the first Mac that has a model, or
# pulls it, gives it to the next, and each that has it to a further one: over the Macs' own SSH,
# with an access for the time of one transfer; where two Macs do not see each other, through this
# machine (docs/models.md). Not the default, as it lets one Mac come to another one for that time.
distribution = "none"

# Where the other Macs reach this Mac's SSH, if not at the address at which this machine does: for a
# host in hosts.yml, such as 192.168.1.20.
distribution_address = None

# The default model and what OpenClaw tries after it, as PROVIDER/MODEL. Only local models by
# default: a cloud model in this list means that prompts leave the Mac when the local ones fail.
primary = "ollama/gpt-oss:20b"
fallbacks = ["ollama/qwen3-coder"]

# Fallbacks that a Mac's own config already has stay, after yours. False: only yours.
keep_fallbacks = True

# Providers besides ollama that your Macs' own OpenClaw config already has, such as ["zai"]; then
# fallbacks may end in "zai/glm-4.5-air".
other_providers = []

# Where the keys of those providers come from, on this machine: provider -> one of {"env": NAME},
# {"file": PATH} (yours, mode 600, outside this project) and {"command": [WORDS]} (no shell; run
# once for all Macs), such as {"zai": {"command": ["op", "read", "op://Private/zai/key"]}}. A key
# itself is refused here, in hosts.yml and after --data. On the Mac it goes into ~/.openclaw/.env,
# to which openclaw.json then refers; "variable" names it there where OpenClaw has no name of its
# own for that provider's key.
provider_keys = {}

# --- OpenClaw ---------------------------------------------------------------------------------

# How OpenClaw is installed where it is missing: "npm" (with Homebrew's Node), "pnpm", "brew", or
# "none" (say what to do and stop). An OpenClaw that is there is used, wherever it came from.
openclaw_install = "npm"

# The version that must be there. None: any from 2026.2.12 on; where none is, the newest.
openclaw_version = None

# The agent whose credentials and sessions are looked after.
agent = "main"

# --- Gateway ----------------------------------------------------------------------------------

# What launchd starts the gateway, Ollama and `preload` as: "agents" are the user's LaunchAgents, as
# OpenClaw and Homebrew make them, and run while he is logged in at the screen; "daemons" are
# LaunchDaemons that run as him, for Macs where nobody is (docs/gateway.md, "Nobody at the screen").
# They need `sudo` without a password, and OpenClaw's own `openclaw gateway ...` does not know them.
services = "agents"

# Port on 127.0.0.1; a port in the Mac's own config is kept unless this differs from the default.
gateway_port = 18789

# Seconds until a started gateway must answer (2026.9.6 takes 30 and more on a busy machine), and
# seconds for which it must then stay the same process (a crash loop looks alive in between).
gateway_start_timeout = 180
gateway_settle = 6

# Seconds that OpenClaw waits for a model, where its version has the key: loading 18 GB takes time.
request_timeout = 300

# What happens with proxies in what the gateway starts from (docs/proxies.md): "unset" takes all
# eight variables out, so that OpenClaw uses none for the cloud either; "bypass" leaves them for the
# cloud, and has NO_PROXY and no_proxy name loopback and the fleet's Macs beside them; "keep" only
# reports them (requests to Ollama then go through the proxy and fail).
proxies = "unset"

# Further hosts that "bypass" names in NO_PROXY, such as ["mini-7.local", "10.0.0.7"]. The addresses
# of this inventory's Macs are named anyway. An entry "local" covers every name that ends in
# ".local"; ranges (10.0.0.0/8) are not understood by OpenClaw 2026.2.x.
no_proxy_hosts = []

# Shells' own start files (~/.zshrc, ...) that set a proxy are reported, as they reach only what is
# started from a terminal. True: a last line is added to each that unsets it ("unset"), or names
# those hosts in NO_PROXY ("bypass").
proxies_in_profiles = False

# Forget the agent's conversations, with a backup. True forgets all of them, once: only after
# --data, as here it would do so at every run. "when-needed" forgets those whose last prompt is as
# large as the window of their model, which would end as "Context overflow". False only tells.
reset_sessions = False

# --- What was changed by hand since, and the way back -------------------------------------------

# A key that clawfleet wrote and somebody has changed since: "ours" writes it again and says so in
# the diff; "theirs" leaves it as it is; "ask-in-diff" shows both and lets pyinfra's question after
# the diff decide: Enter writes it again, Ctrl-C does nothing (with -y, when nobody is asked, that
# Mac stops).
config_conflict = "ours"

# For tasks/diagnose.py: mend what is safe to mend. Only after --data.
fix = False

# For tasks/rollback.py: back to how it was before that run. None: before the newest one.
run = None

# For tasks/remove.py: take away also the models that clawfleet pulled, and the Ollama that it
# installed. What was there before it is never removed.
remove_models = False
remove_ollama = False

# --- Proof ------------------------------------------------------------------------------------

# "quick": every layer answers, and one latency figure per model; "full": three of each, and a
# prompt that fills each model's context, which costs a Mac minutes; "off". A run that changes
# something that a context depends on sends that prompt in any case.
verify = "quick"

# Folder on this machine for the results, as JSON.
reports = "reports"
