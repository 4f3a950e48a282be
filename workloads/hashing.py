"""Hashes of whole Arrow arrays, the same on every machine."""

import pyarrow as pa
import pyarrow.compute as pc

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def unsigned(number: int) -> pa.Scalar:
    return pa.scalar(number & _MASK, pa.uint64())


def mixed(values: pa.Array, salt: int) -> pa.Array:
    """uint64 -> uint64, every bit of which depends on every bit of the value and of the salt.

    The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    x = pc.add(values, unsigned(_GOLDEN * (salt + 1)))
    x = pc.multiply(_folded(x, 30), unsigned(0xBF58476D1CE4E5B9))
    x = pc.multiply(_folded(x, 27), unsigned(0x94D049BB133111EB))
    return _folded(x, 31)


def _folded(x: pa.Array, bits: int) -> pa.Array:
    return pc.bit_wise_xor(x, pc.shift_right(x, unsigned(bits)))


def unit(hashed: pa.Array) -> pa.Array:
    """uint64 -> float64 from 0 up to 1, by the upper 32 bits, which a double holds exactly."""
    upper = pc.cast(pc.shift_right(hashed, unsigned(32)), pa.float64())
    return pc.multiply(upper, 2.0**-32)


def below(hashed: pa.Array, size: int) -> pa.Array:
    """uint64 -> int64 from 0 up to a size."""
    return pc.cast(pc.floor(pc.multiply(unit(hashed), float(size))), pa.int64())


def row_of(hashed: pa.Array, rows: int) -> pa.Array:
    """uint64 -> int32, a row of a table whose size is a power of two."""
    return pc.cast(pc.bit_wise_and(hashed, unsigned(rows - 1)), pa.int32())
