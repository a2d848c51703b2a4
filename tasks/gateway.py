"""The gateway under launchd, restarted when something it reads has changed."""

from clawfleet.operations import provision

provision.gateway(name="runs and is well")
