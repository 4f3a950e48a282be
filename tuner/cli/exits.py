"""The exit codes, once for all commands."""

from tuner import errors

OK = 0
UNEXPECTED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 5
UNREACHABLE = 6
STILL_RUNNING = 7
JOB_FAILED = 10
JOB_CANCELLED = 11
NO_PLAN = 12
NOT_APPLIED = 14
AUDIT_BROKEN = 15
INTERRUPTED = 130

MEANINGS: dict[int, str] = {
    OK: "done; a watched job succeeded",
    UNEXPECTED: "unexpected error (TRIMTAB_DEBUG=1 shows the traceback)",
    USAGE: "wrong usage, or a job file with faults",
    NOT_FOUND: "no such job, trial, plan or application",
    CONFLICT: "not possible in the present state",
    UNREACHABLE: "the store, the server or an executor cannot be reached",
    STILL_RUNNING: "the timeout passed while the job was still running",
    JOB_FAILED: "the job failed",
    JOB_CANCELLED: "the job was cancelled",
    NO_PLAN: "the job finished without any feasible plan",
    NOT_APPLIED: "a plan could not be applied, rolled back or started",
    AUDIT_BROKEN: "the audit was changed by something other than Trimtab",
    INTERRUPTED: "interrupted by Ctrl-C",
}

OF_ERROR: dict[type[errors.TrimtabError], int] = {
    errors.UserError: USAGE,
    errors.NotFound: NOT_FOUND,
    errors.Conflict: CONFLICT,
    errors.ExecutorError: UNREACHABLE,
    errors.StoreError: UNREACHABLE,
    errors.StaleLease: CONFLICT,
    errors.TargetError: NOT_APPLIED,
}


def code_of(error: errors.TrimtabError) -> int:
    """The exit code of an error: that of the nearest class in the tree."""
    known = (OF_ERROR[kind] for kind in type(error).__mro__ if kind in OF_ERROR)
    return next(known, UNEXPECTED)
