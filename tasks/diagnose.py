"""Which of the known troubles does each Mac have? Reads only. Not part of deploy.py.

`--data fix=true` mends those that are safe to mend: dry run and diff as everywhere.
"""

from clawfleet.operations import diagnose

diagnose.known_troubles(name="has which of the known troubles")
diagnose.mend("modes", name="keeps its keys private")
diagnose.mend("ollama", name="has Ollama's server again")
diagnose.mend("config", name="has its config again")
diagnose.mend("environment", name="has no proxies in the way")
diagnose.mend("gateway", name="has its gateway again")
diagnose.remaining(name="is as it should be")
