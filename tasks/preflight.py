"""Can this Mac be provisioned? Reads only."""

from clawfleet.operations import provision

provision.can_be_provisioned(name="can be provisioned")
