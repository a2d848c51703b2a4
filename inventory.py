"""The Macs: from hosts.yml (see hosts.example.yml), else this Mac itself."""

from pathlib import Path

from clawfleet.inventory import load

globals().update(load(Path(__file__).parent))
