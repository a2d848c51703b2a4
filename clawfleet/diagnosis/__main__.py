"""Prints docs/troubleshooting.md: python -m clawfleet.diagnosis > docs/troubleshooting.md"""

from clawfleet.diagnosis.document import document

print(document(), end="")
