"""How much longer the parts of a step take than peaks and data sheets say."""

from dataclasses import dataclass, field, fields, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """Times over the ideal, except `overhead_s`, which no data sheet knows. The defaults are rough
    and hold until trials have calibrated them."""

    compute: float = 3.0
    """A third of the peak, as large matrix products of a training step reach."""
    memory: float = 1.5
    transfer: float = 1.4
    """Between nodes: 70 % of a link's bandwidth, as protocols leave."""
    node_transfer: float = 1.4
    """Within a node, which is another link."""
    latency: float = 1.0
    loader: float = 1.0
    overhead_s: float = 0.002
    """What a step costs whatever its size: launches of kernels, Python, the optimizer."""
    calibrated: frozenset[str] = field(default_factory=frozenset)
    """Which of them trials have told; the others are defaults."""

    def scaled(self, logs: dict[str, float], calibrated: frozenset[str]) -> "Factors":
        """Each multiplied by the exponential of its correction."""
        from math import exp

        values = {name: getattr(self, name) * exp(log) for name, log in logs.items()}
        return replace(self, **values, calibrated=calibrated)


NAMES = tuple(f.name for f in fields(Factors) if f.name != "calibrated")

PRIOR_SD = {
    "compute": 1.0,
    "memory": 1.0,
    "transfer": 1.0,
    "node_transfer": 1.0,
    "latency": 1.0,
    "loader": 0.5,
    "overhead_s": 1.5,
}
"""How far each may be off, as a standard deviation of its logarithm: 1.0 is a factor of 2.7."""
