"""No proxy between the gateway and Ollama."""

from pyinfra import local

from clawfleet.operations import provision
from clawfleet.run import runs_alone

provision.environment(name="has no proxies")

if runs_alone(__file__):  # in deploy.py the gateway comes once, after everything that it reads
    local.include("tasks/gateway.py")
