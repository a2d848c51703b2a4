"""The whole job, in its order. A task runs alone as well: pyinfra inventory.py tasks/models.py"""

from pyinfra import local

local.include("tasks/preflight.py")  # reads only; a Mac that can't be provisioned stops here
local.include("tasks/homebrew.py")
local.include("tasks/ollama.py")  # the server, and its version
local.include("tasks/models.py")
local.include("tasks/openclaw.py")  # Node and OpenClaw
local.include("tasks/config.py")  # four places in two files
local.include("tasks/environment.py")  # proxies out of what the gateway starts from
local.include("tasks/gateway.py")  # installed, or restarted for a reason, and well
local.include("tasks/verify.py")  # every layer answers; first latency figures
local.include("tasks/preload.py")  # last: the proof may have put a model out of memory
