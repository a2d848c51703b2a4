"""Everything of clawfleet's taken out again. Not part of deploy.py.

`--data remove_models=true` and `--data remove_ollama=true` take away what it had installed, too.
"""

from clawfleet.operations import undo

undo.remove(name="has nothing of clawfleet")
