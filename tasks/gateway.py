"""The gateway under launchd, restarted when something it reads has changed."""

from clawfleet.operations import gateway

gateway.running(name="runs and is well")
