"""Where plans are applied: one file a kind, one line here."""

from collections.abc import Callable
from pathlib import Path

from tuner.interfaces import Target
from tuner.spec import JobSpec
from tuner.spec_apply import CommandTarget, FileTarget, TrainTarget
from tuner.targets.command import CommandHook
from tuner.targets.file import PlanFile
from tuner.targets.train import TrainingRun


def _plan_file(spec: JobSpec) -> Target:
    assert isinstance(spec.apply.target, FileTarget)
    return PlanFile(Path(spec.apply.target.path), spec)


def _command(spec: JobSpec) -> Target:
    assert isinstance(spec.apply.target, CommandTarget)
    return CommandHook(spec.apply.target)


def _train(spec: JobSpec) -> Target:
    assert isinstance(spec.apply.target, TrainTarget)
    return TrainingRun(spec.apply.target, spec)


TARGETS: dict[str, Callable[[JobSpec], Target]] = {
    "file": _plan_file,
    "command": _command,
    "train": _train,
}


def open_target(spec: JobSpec) -> Target:
    """The target of a job that names one."""
    assert spec.apply.target is not None
    return TARGETS[spec.apply.target.kind](spec)
