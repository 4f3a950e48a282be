"""The little statistics that measuring and deciding share."""

import math
from collections.abc import Sequence
from operator import mul
from statistics import fmean, stdev


def t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # late: half of Trimtab never needs it

    return float(stdtrit(degrees_of_freedom, probability))


def half_width(values: Sequence[float], probability: float) -> float:
    """Half the width of the t interval of a mean, reaching from the mean to the given quantile.

    Infinite below two values.
    """
    if len(values) < 2:
        return math.inf
    quantile = t_quantile(probability, len(values) - 1)
    return quantile * stdev(values) / math.sqrt(len(values))


def batch_means_half_width(values: Sequence[float], num_batches: int, probability: float) -> float:
    """As `half_width`, for a correlated series: over means of equal batches (Law & Carson 1979).

    The oldest values that fill no batch are left out. Infinite below two values per batch.
    """
    size = len(values) // num_batches
    if size < 2:
        return math.inf
    kept = values[len(values) - size * num_batches :]
    means = [fmean(kept[i : i + size]) for i in range(0, len(kept), size)]
    return half_width(means, probability)


def autoregressive_half_width(
    values: Sequence[float], probability: float, max_order: int = 8
) -> float:
    """As `half_width`, for a correlated series: by the spectral density at frequency 0 of the
    autoregressive model that AIC chooses (Heidelberger & Welch 1981 on Fishman's method).

    Infinite below 20 values, and where the series is no more stationary than a random walk.
    """
    if len(values) < 20:
        return math.inf
    covariances = autocovariances(values, max_order)
    if covariances[0] <= 0:
        return 0.0
    density = long_run_variance(covariances, len(values))
    independent = len(values) * min(1.0, covariances[0] / density)
    if independent < 2:
        return math.inf
    quantile = t_quantile(probability, max(1, int(independent) - 1))
    return quantile * math.sqrt(density / len(values))


def autocovariances(values: Sequence[float], max_lag: int) -> list[float]:
    """Biased estimates for the lags 0 to `max_lag`."""
    centre = fmean(values)
    deviations = [v - centre for v in values]
    count = len(values)
    return [sum(map(mul, deviations[lag:], deviations)) / count for lag in range(max_lag + 1)]


def long_run_variance(covariances: Sequence[float], count: int) -> float:
    """Variance of the mean of `count` values times `count`: innovations over (1 - sum of the
    coefficients) squared, of the autoregression with the least AIC, by Levinson and Durbin."""
    variance = covariances[0]
    coefficients: list[float] = []
    best, best_aic = variance, count * math.log(variance)
    for order in range(1, len(covariances)):
        ahead = sum(c * covariances[order - 1 - i] for i, c in enumerate(coefficients))
        reflection = (covariances[order] - ahead) / variance
        turned = [c - reflection * b for c, b in zip(coefficients, coefficients[::-1], strict=True)]
        coefficients = [*turned, reflection]
        variance *= 1 - reflection * reflection
        if variance <= 1e-12 * covariances[0]:
            break
        aic = count * math.log(variance) + 2 * order
        if aic < best_aic:
            best, best_aic = variance / max(1 - sum(coefficients), 1e-6) ** 2, aic
    return best


def mser_cut(values: Sequence[float], batch: int = 5) -> int:
    """How many values of the beginning belong to the warm-up, by MSER-5 (White, Cobb, Spratt 2000).

    At most half; the cut minimises the squared standard error of what remains.
    """
    means = [fmean(values[i : i + batch]) for i in range(0, len(values) - batch + 1, batch)]
    if len(means) < 4:
        return 0
    # Differences below 0.01 % are no warm-up; without this floor rounding noise would decide.
    floor = (1e-4 * fmean(means)) ** 2
    centre = fmean(means)
    total, squares = 0.0, sum((m - centre) ** 2 for m in means)
    best_cut, best_error = 0, math.inf
    for cut in range(len(means) // 2 + 1):
        remaining = len(means) - cut
        variance = max(squares / remaining - (total / remaining) ** 2, floor)
        if variance / remaining < best_error:
            best_cut, best_error = cut, variance / remaining
        total -= means[cut] - centre
        squares -= (means[cut] - centre) ** 2
    return best_cut * batch
