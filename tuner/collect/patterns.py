"""The regular expressions of a job file, kept from holding up whoever reads the log."""

from collections.abc import Sequence

import regex

from tuner.collect.canonical import readings

TIMEOUT_S = 0.2
MAX_TIMEOUTS = 5


class UserPatterns:
    """Finds named groups in lines; a pattern that took too long five times is not tried again."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [regex.compile(pattern) for pattern in patterns]
        self._timeouts = [0] * len(patterns)
        self.timeouts = 0
        """Lines at which a pattern took too long."""

    def notes(self) -> list[str]:
        """The patterns that are not tried any more."""
        counted = zip(self._patterns, self._timeouts, strict=True)
        return [
            f"workload.log.patterns: `{pattern.pattern}` took longer than {TIMEOUT_S:g} s at "
            f"{MAX_TIMEOUTS} lines, so it is no longer tried; write it without nested repetition"
            for pattern, count in counted
            if count >= MAX_TIMEOUTS
        ]

    def read(self, line: str) -> dict[str, float] | None:
        """The groups that are numbers, in Trimtab's words; None where no pattern matches."""
        found: dict[str, float] = {}
        matched = False
        for index, pattern in enumerate(self._patterns):
            if self._timeouts[index] >= MAX_TIMEOUTS:
                continue
            try:
                match = pattern.search(line, timeout=TIMEOUT_S)
            except TimeoutError:
                self._timeouts[index] += 1
                self.timeouts += 1
                continue
            if match is not None:
                matched = True
                groups = match.groupdict()
                found |= readings((name, text) for name, text in groups.items() if text)
        return found if matched else None
