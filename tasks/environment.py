"""No proxy between the gateway and Ollama."""

from clawfleet.operations import provision

provision.environment(name="The gateway starts without proxies")
