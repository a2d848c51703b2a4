"""No proxy between the gateway and Ollama, by the policy that `proxies` names."""

from pyinfra import local

from clawfleet.operations import environment
from clawfleet.run import runs_alone

environment.environment(name="sends nothing for Ollama through a proxy")

if runs_alone(__file__):  # in deploy.py the gateway comes once, after everything that it reads
    local.include("tasks/gateway.py")
