"""Every layer answers, with first latency figures."""

from clawfleet.operations import verify

verify.verify(name="every layer answers")
