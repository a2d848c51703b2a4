"""pyinfra's own settings; everything about the Macs is in group_data/all.py and hosts.yml."""

from pyinfra import config

config.REQUIRE_PYINFRA_VERSION = ">=3.10,<4"
