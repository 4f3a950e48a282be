"""Time of a piece of work on one device by the roofline model.

Source: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52(4), 2009.
"""

GIGA = 1e9


def roofline_s(
    flops: float, num_bytes: float, *, peak_gflops: float, memory_gb_per_s: float
) -> float:
    """Seconds: operations over peak or bytes over bandwidth, whichever takes longer, as both go on
    at once. 10 GFLOP and 1 GB at 1000 GFLOP/s and 50 GB/s take max(0.01, 0.02) = 0.02 s."""
    return max(flops / (peak_gflops * GIGA), num_bytes / (memory_gb_per_s * GIGA))


def ridge_flops_per_byte(*, peak_gflops: float, memory_gb_per_s: float) -> float:
    """The intensity from which on work is bound by computing: peak / bandwidth."""
    return peak_gflops / memory_gb_per_s
