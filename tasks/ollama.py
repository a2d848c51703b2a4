"""Ollama's server: installed, running, and of the installed version."""

from clawfleet.operations import provision

provision.ollama(name="server answers")
