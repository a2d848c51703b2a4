"""Back to how a Mac was before the newest run, or before `--data run=ID`. Not part of deploy.py."""

from clawfleet.operations import undo

undo.rollback(name="is as it was before")
