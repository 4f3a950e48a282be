"""Gaussian process regression for tens of trials: Matern 5/2, a length-scale per parameter, MAP.

Arrays: `n` points, `m` candidates, `d` parameters. Features come as one matrix per parameter, so
that the coordinates of a category count as one parameter (`tuner.search.scale`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]
"""Float64 throughout: kernel matrices of near points are nearly singular."""

OFFSET_SD = 3.0
"""Of the constant mean, in units of the targets' standard deviation; it is integrated out."""
_ROOT5 = math.sqrt(5.0)
_SCALE_SD = 0.8
_SIGNAL_SD = 0.7
_NOISE_CENTRE, _NOISE_SD = math.log(1e-3), 1.5
_JITTER = 1e-6
_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Hyperparameters, as logarithms."""

    lengths: Array
    """[d]"""
    signal: float
    """Variance, of standardised targets."""
    noise: float
    """Variance beyond what is known of each target."""

    @classmethod
    def prior(cls, num_params: int) -> "Scales":
        """Where the priors are centred; longer scales where distances add up over more of them."""
        length = math.log(0.5 * math.sqrt(num_params) / 1.2)
        return cls(lengths=np.full(num_params, length), signal=0.0, noise=_NOISE_CENTRE)

    def vector(self) -> Array:
        return np.concatenate([self.lengths, [self.signal, self.noise]])

    @classmethod
    def of(cls, vector: Array) -> "Scales":
        return cls(lengths=vector[:-2], signal=float(vector[-2]), noise=float(vector[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What the mean may follow besides a constant."""

    columns: Array
    """[n, b], in the unit of the targets; the coefficients are N(0, 1) and integrated out."""
    spread: float
    """Standard deviation expected of the targets before they are seen; counts as two of them."""


class GaussianProcess:
    """A posterior over functions of the parameters, and of a trend where one is given."""

    def __init__(
        self,
        points: Sequence[Array],
        targets: Array,
        noise: Array,
        scales: Scales | None = None,
        trend: Trend | None = None,
    ) -> None:
        self._points = list(points)
        self._centre = float(targets.mean())
        self._unit = max(_spread(targets, trend), 1e-9)
        self._targets = (targets - self._centre) / self._unit
        self._noise = noise / self._unit**2
        self._distances = [_squared(p, p) for p in self._points]
        self._basis = self._based(len(targets), trend.columns if trend else None)
        self.scales = self._fit(scales) if scales is None else scales
        self._condition()

    @property
    def evidence(self) -> float:
        """Log posterior density of the targets at the hyperparameters, up to a constant."""
        vector = self.scales.vector()
        loss, _ = self._loss(vector, Scales.prior(len(self._points)).vector())
        return -loss - len(self._targets) * math.log(self._unit)

    @property
    def widest(self) -> float:
        """Standard deviation far from every point, the constant mean being known."""
        return self._unit * math.exp(0.5 * self.scales.signal)

    def _based(self, count: int, columns: Array | None) -> Array:
        """The columns of the linear part, the constant first, in units of the targets."""
        constant = np.full((count, 1), OFFSET_SD)
        return constant if columns is None else np.hstack([constant, columns / self._unit])

    def _fit(self, start: Scales | None) -> Scales:
        prior = Scales.prior(len(self._points))
        begin = prior.vector() if start is None else start.vector()
        found = minimize(
            self._loss,
            begin,
            args=(prior.vector(),),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-5.0, 5.0)] * (len(begin) - 2) + [(-6.0, 4.0), (-12.0, 1.0)],
            options={"maxiter": _STEPS},
        )
        return Scales.of(found.x if np.isfinite(found.fun) else prior.vector())

    def _loss(self, vector: Array, centre: Array) -> tuple[float, Array]:
        """Negative log posterior of the hyperparameters, and its gradient."""
        scales = Scales.of(vector)
        kernel, slopes = _kernel_and_slopes(self._distances, scales)
        count = len(self._targets)
        noise = self._noise + math.exp(scales.noise) + _JITTER
        whole = kernel + self._basis @ self._basis.T + np.diag(noise)
        try:
            lower = np.linalg.cholesky(whole)
        except np.linalg.LinAlgError:
            return math.inf, np.zeros_like(vector)
        weights = cho_solve((lower, True), self._targets)
        inverse = cho_solve((lower, True), np.eye(count))
        outer = inverse - np.outer(weights, weights)
        gradient = [0.5 * float((outer * slope).sum()) for slope in slopes]
        gradient.append(0.5 * float((outer * kernel).sum()))
        gradient.append(0.5 * math.exp(scales.noise) * float(np.trace(outer)))
        spread = np.array([_SCALE_SD] * len(slopes) + [_SIGNAL_SD, _NOISE_SD])
        away = (vector - centre) / spread
        loss = 0.5 * float(self._targets @ weights) + float(np.log(np.diag(lower)).sum())
        return loss + 0.5 * float(away @ away), np.array(gradient) + away / spread

    def _condition(self) -> None:
        kernel, _ = _kernel_and_slopes(self._distances, self.scales)
        noise = self._noise + math.exp(self.scales.noise) + _JITTER
        self._lower = np.linalg.cholesky(kernel + self._basis @ self._basis.T + np.diag(noise))
        self._weights = cho_solve((self._lower, True), self._targets)

    def predict(
        self, candidates: Sequence[Array], columns: Array | None = None
    ) -> tuple[Array, Array]:
        """Mean and standard deviation of the function (without noise) at [m] candidates;
        `columns` are those of the trend, [m, b]."""
        distances = [_squared(c, p) for c, p in zip(candidates, self._points, strict=True)]
        basis = self._based(len(candidates[0]), columns)
        cross = _kernel(distances, self.scales) + basis @ self._basis.T
        mean = cross @ self._weights
        half = solve_triangular(self._lower, cross.T, lower=True)
        own = math.exp(self.scales.signal) + (basis**2).sum(axis=1)
        variance = own - (half**2).sum(axis=0)
        deviation = np.sqrt(np.maximum(variance, 1e-12))
        return self._centre + self._unit * mean, self._unit * deviation


def _spread(targets: Array, trend: Trend | None) -> float:
    seen = float(targets.std())
    if trend is None:
        return seen
    count = len(targets)
    return math.sqrt((count * seen**2 + 2 * trend.spread**2) / (count + 2))


def _squared(left: Array, right: Array) -> Array:
    """[m, k], [n, k] -> [m, n] squared distances."""
    difference = left[:, None, :] - right[None, :, :]
    return np.asarray((difference**2).sum(axis=2))


def _radius(distances: Sequence[Array], scales: Scales) -> Array:
    total = np.zeros_like(distances[0])
    for squared, length in zip(distances, scales.lengths, strict=True):
        total += squared * math.exp(-2 * length)
    return np.sqrt(total)


def _kernel(distances: Sequence[Array], scales: Scales) -> Array:
    scaled = _ROOT5 * _radius(distances, scales)
    return math.exp(scales.signal) * (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def _kernel_and_slopes(distances: Sequence[Array], scales: Scales) -> tuple[Array, list[Array]]:
    """The kernel, and its derivatives by the logarithms of the length-scales."""
    scaled = _ROOT5 * _radius(distances, scales)
    decay = math.exp(scales.signal) * np.exp(-scaled)
    kernel = decay * (1 + scaled + scaled**2 / 3)
    common = decay * (1 + scaled) * (5.0 / 3.0)
    return kernel, [
        common * squared * math.exp(-2 * length)
        for squared, length in zip(distances, scales.lengths, strict=True)
    ]
