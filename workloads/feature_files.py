"""Files of features: written in one of four formats, read back, and compared by their content."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

MANIFEST = "features.json"
COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "parquet": ("none", "snappy", "zstd"),
    "arrow": ("none", "zstd"),
    "csv": ("none", "zstd"),
    "npy": ("none",),
}
"""What each format can be compressed with."""
_NPY_TYPES = {pa.int8(): "|i1", pa.int32(): "<i4", pa.float32(): "<f4"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What lies in a folder of features."""

    format: str
    compression: str
    parts: tuple[str, ...]
    """Names of the files, in the order of their rows."""
    rows: tuple[int, ...]
    """Rows of each."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """The last thing to be written: where it is, everything is."""
    unfinished = folder / f".{MANIFEST}"
    unfinished.write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    unfinished.replace(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Raises FileNotFoundError where no finished features are."""
    fields = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    fields |= {name: tuple(fields[name]) for name in ("parts", "rows")}
    return Manifest(**fields)


def write(table: pa.Table, path: Path, form: str, compression: str) -> None:
    """Writes a part. Raises OSError."""
    codec = None if compression == "none" else compression
    if form == "parquet":
        pa.parquet.write_table(table, path, compression=codec or "none")
    elif form == "arrow":
        pa.feather.write_feather(table, path, compression=codec or "uncompressed")
    elif form == "csv":
        with pa.output_stream(path, compression=codec) as stream:
            pa.csv.write_csv(table, stream)
    else:
        _write_npy(table, path)


def read(path: Path, form: str, compression: str, schema: pa.Schema, threads: int = 1) -> pa.Table:
    """Reads a part. Raises OSError, and pyarrow.ArrowInvalid for what is no such file."""
    several = threads > 1
    if form == "parquet":
        return pa.parquet.read_table(path, use_threads=several, memory_map=True)
    if form == "arrow":
        return pa.feather.read_table(path, use_threads=several, memory_map=True)
    if form == "csv":
        types = pa.csv.ConvertOptions(column_types=schema)
        with pa.input_stream(path, compression=None if compression == "none" else compression) as s:
            reading = pa.csv.ReadOptions(use_threads=several)
            return pa.csv.read_csv(s, read_options=reading, convert_options=types)
    return _read_npy(path, schema)


def _write_npy(table: pa.Table, path: Path) -> None:
    """One array after the other, each as `numpy.save` writes it and `numpy.load` reads it."""
    with path.open("wb") as file:
        for column in table.columns:
            array = column.combine_chunks()
            head = f"{{'descr': '{_NPY_TYPES[array.type]}', 'fortran_order': False, "
            head += f"'shape': ({len(array)},), }}"
            head += " " * (-(len(head) + 11) % 64) + "\n"
            file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
            file.write(values_of(array))


def _read_npy(path: Path, schema: pa.Schema) -> pa.Table:
    source = pa.memory_map(str(path))
    columns = []
    for field in schema:
        start = source.read(10)
        if start[:6] != b"\x93NUMPY":
            raise pa.ArrowInvalid(f"{path} holds no array where {field.name} should be")
        head = source.read(int.from_bytes(start[8:10], "little")).decode()
        rows = int(head.partition("'shape': (")[2].partition(",")[0])
        width = field.type.bit_width // 8
        data = source.read_buffer(rows * width)
        columns.append(pa.Array.from_buffers(field.type, rows, [None, data]))
    return pa.table(columns, schema=schema)


def values_of(array: pa.Array) -> memoryview:
    """The plain values of an array without nulls."""
    width = array.type.bit_width // 8
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]


def digest(folder: Path, schema: pa.Schema) -> str:
    """SHA-256 of every column's values in order; the same for the same rows, however they are cut
    into files, written and compressed."""
    manifest = read_manifest(folder)
    hashes = [hashlib.sha256(field.name.encode()) for field in schema]
    for table in _parts(folder, manifest, schema):
        for running, column in zip(hashes, table.columns, strict=True):
            for chunk in column.chunks:
                running.update(values_of(chunk))
    return hashlib.sha256("".join(h.hexdigest() for h in hashes).encode()).hexdigest()


def _parts(folder: Path, manifest: Manifest, schema: pa.Schema) -> Iterator[pa.Table]:
    names: Sequence[str] = manifest.parts
    for name in names:
        yield read(folder / name, manifest.format, manifest.compression, schema)
