"""Following a job or an application to its end, controlling it where nobody else does."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from tuner.application import Application
from tuner.cli import exits, progress, session
from tuner.model import Job, JobState

if TYPE_CHECKING:
    from tuner.service import Service

POLL_S = 0.5


class ControllerThread:
    """Controls some jobs from this process as long as no other process does."""

    def __init__(self, service: "Service", job_ids: list[str]) -> None:
        self._service = service
        self._job_ids = job_ids
        self._stop = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._error: Exception | None = None

    def __enter__(self) -> "ControllerThread":
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._idle.wait()

    @property
    def is_running(self) -> bool:
        return not self._idle.is_set()

    def ensure(self) -> None:
        """Starts controlling if nobody does; raises what ended it."""
        if self._error is not None:
            raise self._error
        if self.is_running or self._service.controller() is not None:
            return
        session.narrate("No controller is running: this process controls meanwhile.")
        self._idle.clear()
        # A daemon, so that a second Ctrl-C ends the process; the store survives that at any moment.
        threading.Thread(target=self._run, name="controller", daemon=True).start()

    def _run(self) -> None:
        try:
            self._service.run(self._stop, until_finished=self._job_ids)
        except Exception as error:  # raised again in the main thread
            self._error = error
        finally:
            self._idle.set()

    def wait(self, seconds: float) -> None:
        """Waits, at most until controlling here has ended."""
        if self.is_running:
            self._idle.wait(seconds)
        else:
            time.sleep(seconds)


def follow(service: "Service", job: Job, timeout_s: float | None) -> Job:
    """Shows a job's progress until it has ended and its applications are settled.

    Raises typer.Exit: STILL_RUNNING after the timeout, INTERRUPTED after Ctrl-C.
    """
    try:
        with progress.display() as show, ControllerThread(service, [job.id]) as control:

            def is_over() -> bool:
                snapshot = progress.look(service, job.id)
                show(snapshot)
                return snapshot.job.state.is_finished and not _is_settling(service, job.id)

            _until(is_over, control, timeout_s)
    except TimeoutError:
        _say_how_to_return(service, job, "Still running after the timeout.")
        raise typer.Exit(exits.STILL_RUNNING) from None
    except KeyboardInterrupt:
        _say_how_to_return(service, job, "Detached.")
        raise typer.Exit(exits.INTERRUPTED) from None
    return service.job(job.id)


def _is_settling(service: "Service", job_id: str) -> bool:
    return any(not application.is_settled for application in service.applications(job_id))


def _until(is_over: Callable[[], bool], control: ControllerThread, timeout_s: float | None) -> None:
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        # Asked before looking: what the controller wrote before it ended is then seen.
        was_running = control.is_running
        over = is_over()
        if over and not was_running:
            return
        left_s = POLL_S if deadline_s is None else deadline_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if not over:
            control.ensure()
        control.wait(min(POLL_S, left_s))


def _say_how_to_return(service: "Service", job: Job, what: str) -> None:
    if service.controller() is not None:
        goes_on = "the controller goes on with it"
    else:
        wait = f"{job.spec.resources.lease_s:g} s"
        goes_on = f"what is measured is kept, and a running trial goes on alone for {wait}"
    session.narrate(
        f"{what} Job {job.name}: {goes_on}.\n"
        f"  trimtab job watch {job.id}    come back\n"
        f"  trimtab job cancel {job.id}   end it"
    )


def outcome(service: "Service", job: Job) -> int:
    """The exit code that says how a finished job ended."""
    if job.state is JobState.FAILED:
        return exits.JOB_FAILED
    if job.state is JobState.CANCELLED:
        return exits.JOB_CANCELLED
    return exits.OK if service.plans(job.id) else exits.NO_PLAN


def settle(service: "Service", application: Application, timeout_s: float) -> Application:
    """Waits until an application is on its target, has ended, or waits for people."""
    with ControllerThread(service, [application.job_id]) as control:
        try:
            _until(
                lambda: service.application(application.id).is_settled,
                control,
                timeout_s,
            )
        except TimeoutError:
            session.narrate(f"Application {application.id} is still on its way.")
            raise typer.Exit(exits.STILL_RUNNING) from None
    return service.application(application.id)
