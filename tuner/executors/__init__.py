"""Executors: where gangs run. A new one is a file here, a line below, and a line in its suite."""

from collections.abc import Callable
from pathlib import Path

from tuner.executors.local import LocalExecutor
from tuner.interfaces import Executor

EXECUTORS: dict[str, Callable[[Path], Executor]] = {"local": LocalExecutor}
"""Name (`resources.executor` of a job file) -> what makes one, given a folder of its own."""
