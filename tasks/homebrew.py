"""Homebrew, from a mirror where one is wanted."""

from clawfleet.operations import provision

provision.homebrew(name="is there")
