"""OpenClaw and the Node it needs."""

from clawfleet.operations import provision

provision.openclaw(name="is there")
