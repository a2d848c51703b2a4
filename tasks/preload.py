"""Models in memory before anybody asks; after a reboot, too."""

from clawfleet.operations import preload

preload.preload(name="models are in memory")
