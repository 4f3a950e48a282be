"""Any target at all, by two commands: one puts a plan there, the other tells what runs.

The plans lie in the target's folder as `HASH.json`, in the format of a plan file. Beside them
`wanted.json` says which of them is wanted, by when it has to be renewed, and which one to go back
to: whatever runs the plans can then go back by itself.
"""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from tuner.application import Sighting
from tuner.errors import TargetError
from tuner.model import Plan
from tuner.spec_apply import CommandTarget
from tuner.targets.file import content, publish, read_plan_file

_RENEW_SHARE = 3
_STATES = ("waiting", "starting", "running", "ended", "failed")


class CommandHook:
    """The target kind `command`."""

    def __init__(self, target: CommandTarget) -> None:
        self._target = target
        self._folder = Path(target.path)
        self._wanted = self._folder / "wanted.json"

    def current(self) -> str | None:
        """The plan that the workload itself reports, as `observe` prints it."""
        return self.observe().plan_hash

    def apply(self, plan: Plan, canary_s: float | None) -> None:
        kept = self._folder / f"{plan.hash}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not kept.exists():
                publish(kept, content(plan))
        except OSError as error:
            raise TargetError(f"the plan could not be kept in {kept}: {error}") from error
        self._want(plan.hash, canary_s)

    def restore(self, plan_hash: str | None) -> None:
        if plan_hash is None:
            raise TargetError("a command cannot bring back what was there before any plan")
        if not (self._folder / f"{plan_hash}.json").exists():
            raise TargetError(f"{self._folder} keeps no plan {plan_hash[:12]}")
        self._want(plan_hash, None)

    def _want(self, plan_hash: str, canary_s: float | None) -> None:
        before = self._read_wanted()
        if not _is_due(before, plan_hash, canary_s):
            return
        if before.get("plan_hash") == plan_hash:
            fallback = before.get("fallback")
        else:
            fallback = before.get("plan_hash")
        until = None if canary_s is None else datetime.now(UTC) + timedelta(seconds=canary_s)
        wanted = {
            "plan_hash": plan_hash,
            "until": None if until is None else until.isoformat(),
            "fallback": fallback if canary_s is not None else None,
        }
        try:
            publish(self._wanted, json.dumps(wanted, indent=2) + "\n")
        except OSError as error:
            raise TargetError(f"{self._wanted} could not be written: {error}") from error
        kept = self._folder / f"{plan_hash}.json"
        read_plan_file(kept)  # what is not whole is not handed on
        words = [word.replace("${plan_file}", str(kept)) for word in self._target.apply]
        self._run(words)

    def _read_wanted(self) -> dict[str, Any]:
        try:
            found = json.loads(self._wanted.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def observe(self) -> Sighting:
        text = self._run(self._target.observe)
        try:
            said = json.loads(text)
            state = str(said.get("state", "starting"))
            if state not in _STATES:
                raise ValueError(f"state {state!r} is none of {', '.join(_STATES)}")
            return Sighting(
                state=cast(Any, state),
                plan_hash=_text(said.get("plan_hash")),
                steps=int(said.get("steps", 0)),
                metrics={str(n): float(v) for n, v in said.get("metrics", {}).items()},
                message=str(said.get("message", "")),
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise TargetError(f"{self._target.observe[0]} printed no answer: {error}") from error

    def _run(self, words: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                list(words),
                capture_output=True,
                text=True,
                timeout=self._target.timeout_s,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise TargetError(f"{words[0]} could not be run: {error}") from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
            raise TargetError(f"{words[0]} ended with exit code {done.returncode}: {said[0]}")
        return done.stdout


def _is_due(wanted: dict[str, Any], plan_hash: str, canary_s: float | None) -> bool:
    """Whether the command has to be run: for another plan, for good, or for a renewal."""
    if wanted.get("plan_hash") != plan_hash:
        return True
    until = wanted.get("until")
    if until is None or canary_s is None:
        return bool(until is not None or canary_s is not None)
    left_s = (datetime.fromisoformat(until) - datetime.now(UTC)) / timedelta(seconds=1)
    return left_s < canary_s * (1 - 1 / _RENEW_SHARE)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
