"""models.lock from what the Macs have. Not part of deploy.py.

`--data lock_from=HOST` takes one Mac's word where they differ.
"""

from clawfleet.operations import lock

lock.written(name="is what models.lock says")
