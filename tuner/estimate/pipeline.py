"""A loader that works ahead of a trainer.

Two stages with a buffer between them: the slower one sets the pace, and a finite buffer loses some
of it to variation.
"""


def exposed_loader_s(loader_s: float, trainer_s: float, *, workers: int) -> float:
    """How long a step waits for its batch. Without workers loader and trainer take turns; with w of
    them the slower stage sets the pace, so that a step takes max(trainer, loader / w)."""
    if workers < 1:
        return loader_s
    return max(0.0, loader_s / workers - trainer_s)


def loader_bound_share(loader_s: float, trainer_s: float, *, workers: int) -> float:
    """Share of a step in which the trainer waits for data, from 0 to 1, where neither stage varies:
    the least it can be."""
    waits_s = exposed_loader_s(loader_s, trainer_s, workers=workers)
    return waits_s / (waits_s + trainer_s) if waits_s else 0.0


def loader_bound_share_varying(
    loader_s: float, trainer_s: float, *, workers: int, prefetch: int = 2
) -> float:
    """The same where both stages vary exponentially and `prefetch` batches of each worker wait at
    most, which is about the most it can be: the idle share of a queue M/M/1/K with ρ = rate of
    the loader / rate of the trainer and K = workers · prefetch + 1, (1-ρ) / (1-ρ^(K+1)).

    Source: Gross et al., "Fundamentals of Queueing Theory", 4th ed., section 2.5."""
    if workers < 1 or loader_s <= 0:
        return loader_bound_share(loader_s, trainer_s, workers=workers)
    room = workers * prefetch + 1
    ratio = trainer_s * workers / loader_s
    if abs(ratio - 1) < 1e-9:
        return 1 / (room + 1)
    if ratio > 1:
        # The same with numerator and denominator divided by the largest power: no overflow.
        inverse = 1 / ratio
        return (inverse**room) * (1 - inverse) / (1 - inverse ** (room + 1))
    return (1 - ratio) / (1 - ratio ** (room + 1))
