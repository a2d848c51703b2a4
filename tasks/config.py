"""Ollama's models in OpenClaw's config, merged into what is there."""

from pyinfra import local

from clawfleet.operations import provision
from clawfleet.run import runs_alone

provision.config(name="knows the models")

if runs_alone(__file__):  # in deploy.py the gateway comes once, after everything that it reads
    local.include("tasks/gateway.py")
