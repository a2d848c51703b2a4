"""How many examples the property tests try. ``HYPOTHESIS_PROFILE=ci`` for 2,000 of each, always the
same ones (script/test without arguments sets it); ``explore`` for other ones in every run."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No bounds on time: a slow machine is not a defect.
_UNTIMED = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile("default", _UNTIMED, max_examples=300, derandomize=True)
settings.register_profile("ci", _UNTIMED, max_examples=2000, derandomize=True)
settings.register_profile("explore", _UNTIMED, max_examples=2500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
