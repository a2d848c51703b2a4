"""Ollama's models in OpenClaw's config, merged into what is there."""

from clawfleet.operations import provision

provision.config(name="OpenClaw knows the models")
