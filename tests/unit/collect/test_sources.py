"""Which lines a figure was read from."""

from tuner.collect.sources import Span, sources_of, span_of, thinned
from tuner.gang import Record


def record(t_s: float, source: str, steps: int = 0, rank: int = 0, **values: float) -> Record:
    return Record(rank=rank, t_s=t_s, steps=steps, values=values, source=source)


def test_a_span_is_from_the_first_to_the_last_line_of_a_stream() -> None:
    assert span_of(["a.log:10", "a.log:30", "a.log:20"]) == "a.log:10-30"
    assert span_of(["a.log:10", "b.log:5", "a.log:20"]) == "a.log:10-20 b.log:5"
    assert span_of(["a.log:10"]) == "a.log:10"
    assert (span_of([]), str(Span())) == ("", "")


def test_throughput_is_of_the_lines_within_its_window() -> None:
    records = [record(float(t), f"a.log:{t * 10}", steps=1, loss=0.5) for t in range(1, 6)]
    found = sources_of(records, window=(2.0, 4.0))
    assert found == {
        "samples_per_s": "a.log:20-40",
        "step_time_s": "a.log:20-40",
        "loss": "a.log:10-50",
    }
    assert sources_of(records)["samples_per_s"] == "a.log:10-50"


def test_every_rank_that_counted_is_named() -> None:
    records = [record(t, f"rank-{r}:{t:.0f}", steps=1, rank=r) for r in (0, 1) for t in (1.0, 2.0)]
    assert sources_of(records)["samples_per_s"] == "rank-0:1-2 rank-1:1-2"


def test_a_throughput_that_the_job_states_is_of_its_own_lines() -> None:
    records = [record(1.0, "a:1", auc=0.5), record(2.0, "a:2", samples_per_s=5.0)]
    assert sources_of(records) == {"auc": "a:1", "samples_per_s": "a:2"}


def test_a_thinned_curve_keeps_sums_and_sources() -> None:
    curve = [(float(i), float(i), f"a:{i}") for i in range(1, 7)]
    assert thinned(curve, 3) == [(2.0, 1.5, "a:1-2"), (4.0, 3.5, "a:3-4"), (6.0, 5.5, "a:5-6")]
    assert thinned(curve, 100) == curve
