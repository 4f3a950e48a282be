import pytest

from tuner.estimate.roofline import ridge_flops_per_byte, roofline_s


def test_the_slower_of_computing_and_moving_sets_the_time() -> None:
    moving = roofline_s(10e9, 1e9, peak_gflops=1000, memory_gb_per_s=50)
    computing = roofline_s(100e9, 1e9, peak_gflops=1000, memory_gb_per_s=50)
    assert (moving, computing) == pytest.approx((0.02, 0.1))


def test_the_opteron_of_the_paper_needs_an_intensity_of_its_ridge() -> None:
    """Opteron X2 in Williams et al.: 17.6 GFLOP/s and 16 GB/s."""
    ridge = ridge_flops_per_byte(peak_gflops=17.6, memory_gb_per_s=16)
    assert ridge == pytest.approx(1.1)
    below, above = (
        flops / roofline_s(flops, 1e9, peak_gflops=17.6, memory_gb_per_s=16) / 1e9
        for flops in (0.5e9, 4e9)
    )
    assert (below, above) == pytest.approx((8.0, 17.6))
