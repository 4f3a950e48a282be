"""What can go wrong, as a tree.

TrimtabError                  caught at the boundary only (CLI, HTTP, the service loop)
  UserError                   the request is wrong; the message says the remedy     exit 2, HTTP 422
    InvalidJob                the job file or specification is wrong                exit 2, HTTP 422
    NotFound                  no such job, trial, plan or application               exit 3, HTTP 404
    Conflict                  not possible in the present state                     exit 5, HTTP 409
  ExecutorError               a gang could not be started, asked or stopped         exit 6, HTTP 503
  StoreError                  the store cannot be read, or is locked                exit 6, HTTP 503
    StaleLease                another controller took over; this one must stop      exit 5, HTTP 409
  TargetError                 a plan cannot be put on its target, or taken off it  exit 14, HTTP 409

A trial that fails is not an error: it is a result (`tuner.model.Failure`).
"""

from dataclasses import dataclass


class TrimtabError(Exception):
    """The root of every error that Trimtab raises on purpose."""


class UserError(TrimtabError):
    """The request is wrong; the message names what, the value and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a job file.

    `field` is a dotted path, `line` counts from 1 (None where there is no file).
    """

    field: str
    message: str
    remedy: str
    value: str = ""
    line: int | None = None


class InvalidJob(UserError):
    """A job specification that cannot be used; `problems` lists every fault found."""

    def __init__(self, problems: list[Problem], source: str = "job") -> None:
        self.problems = problems
        self.source = source
        super().__init__("\n".join(self._line(problem) for problem in problems))

    def _line(self, problem: Problem) -> str:
        place = f"{self.source}:{problem.line}" if problem.line else self.source
        value = f" (value: {problem.value})" if problem.value else ""
        return f"{place}: {problem.field}: {problem.message}{value}. Remedy: {problem.remedy}"


class NotFound(UserError):
    """There is no such job, trial, plan or application."""


class Conflict(UserError):
    """The request is right in itself, but not possible in the present state."""


class ExecutorError(TrimtabError):
    """A gang could not be started, asked or stopped."""


class StoreError(TrimtabError):
    """The store is unreadable, locked for too long, or of another version."""


class StaleLease(StoreError):
    """Another controller holds the lease; whoever gets this must stop writing."""


class TargetError(TrimtabError):
    """A plan could not be put on its target, or taken off it."""
