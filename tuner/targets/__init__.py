"""Where plans are applied: one file a kind, one line here."""

from collections.abc import Callable
from pathlib import Path

from tuner.interfaces import Target
from tuner.targets.file import PlanFile

TARGETS: dict[str, Callable[[Path], Target]] = {"file": PlanFile}
