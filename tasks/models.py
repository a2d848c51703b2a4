"""The wanted models in Ollama's store."""

from clawfleet.operations import provision

provision.models(name="are there")
