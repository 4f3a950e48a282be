import os
from pathlib import Path

import pytest

from tuner.executors import spool
from tuner.executors.files import marks_of
from tuner.executors.spool import Spool, plain_text, read_chunk, tail_text

MIB = 2**20


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "rank-0.log"


def test_growth_is_dated(log: Path) -> None:
    watch = Spool(log, dated=True)
    watch.note(1.0)
    append(log, b"one\n")
    watch.note(2.0)
    watch.note(3.0)
    append(log, b"two\n")
    watch.note(4.0)
    chunk = read_chunk(log, 0, MIB, 9.0)
    assert chunk is not None
    assert (chunk.offset, chunk.data) == (0, b"one\ntwo\n")
    assert chunk.marks == ((4, 2.0), (8, 4.0))


def test_what_is_not_marked_yet_is_dated_now(log: Path) -> None:
    append(log, b"one\n")
    Spool(log, dated=True).note(2.0)
    append(log, b"two\n")
    chunk = read_chunk(log, 0, MIB, 9.0)
    assert chunk is not None
    assert chunk.marks == ((4, 2.0), (8, 9.0))


def test_a_piece_has_the_mark_that_covers_its_end(log: Path) -> None:
    watch = Spool(log, dated=True)
    for number in range(100):
        append(log, b"0123456789")
        watch.note(float(number))
    chunk = read_chunk(log, 495, 10, 1000.0)
    assert chunk is not None
    assert chunk.marks == ((500, 49.0), (505, 50.0))


def test_metrics_carry_their_own_time(tmp_path: Path) -> None:
    path = tmp_path / "rank-0.metrics.jsonl"
    append(path, b"{}\n")
    Spool(path, dated=False).note(1.0)
    chunk = read_chunk(path, 0, MIB, 9.0)
    assert chunk is not None
    assert chunk.marks == ()
    assert not marks_of(path).exists()


def test_marks_thin_out(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_MARKS_BEFORE_DOUBLING", 10)
    watch = Spool(log, dated=True)
    for number in range(1000):
        append(log, b"x")
        watch.note(0.05 * number)
    count = marks_of(log).stat().st_size // 32
    assert 10 < count < 80
    watch.note(50.0, last=True)
    chunk = read_chunk(log, 0, MIB, 99.0)
    assert chunk is not None
    assert chunk.marks[-1] == (1000, 50.0)


def test_nothing_new_is_nothing(log: Path) -> None:
    assert read_chunk(log, 0, MIB, 1.0) is None
    append(log, b"one\n")
    assert read_chunk(log, 4, MIB, 1.0) is None
    assert read_chunk(log, 400, MIB, 1.0) is None


def test_a_log_too_large_loses_its_middle(log: Path) -> None:
    watch = Spool(log, dated=True, cap_bytes=4 * MIB)
    append(log, b"head\n")
    for _ in range(40):
        append(log, b"x" * MIB)
        watch.note(1.0)
        assert log.stat().st_blocks * 512 <= 4 * MIB
    append(log, b"tail\n")
    assert log.stat().st_size == 40 * MIB + 10
    first = read_chunk(log, 0, 100 * MIB, 1.0)
    assert first is not None
    assert first.data.startswith(b"head\nx")
    assert tail_text(log, 8) == "xxxtail\n"


def test_reading_skips_the_hole(log: Path) -> None:
    append(log, b"a" * MIB + b"b" * 7 * MIB + b"c" * MIB)
    Spool(log, dated=False, cap_bytes=4 * MIB).note(1.0)
    found, offset = [], 0
    while (chunk := read_chunk(log, offset, 4 * MIB, 1.0)) is not None:
        found.append((chunk.offset, chunk.data))
        offset = chunk.offset + len(chunk.data)
    assert found == [(0, b"a" * MIB), (8 * MIB, b"c" * MIB)]


def test_without_holes_the_head_stays(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoHoles:
        @staticmethod
        def fallocate(*_: object) -> int:
            return -1

    monkeypatch.setattr(spool, "_libc", NoHoles)
    append(log, b"a" * MIB + b"b" * 7 * MIB)
    Spool(log, dated=False, cap_bytes=4 * MIB).note(1.0)
    status = log.stat()
    assert status.st_size == 8 * MIB
    assert status.st_blocks * 512 <= 2 * MIB
    with open(log, "rb") as file:
        assert file.read(MIB) == b"a" * MIB


@pytest.mark.parametrize("link", ["soft", "hard", "folder"])
def test_what_is_not_the_launchs_alone_is_never_cut(tmp_path: Path, link: str) -> None:
    theirs, own = tmp_path / "theirs" / "train.txt", tmp_path / "files" / "train.txt"
    theirs.parent.mkdir()
    append(theirs, b"x" * 8 * MIB)
    held = theirs.stat().st_blocks
    watch = Spool(own, dated=True, cap_bytes=4 * MIB)
    if link == "folder":
        own.parent.symlink_to(theirs.parent)
    else:
        own.parent.mkdir()
        (own.symlink_to if link == "soft" else own.hardlink_to)(theirs)
    watch.note(1.0)
    assert theirs.stat().st_blocks == held
    assert marks_of(own).exists()


def test_trouble_with_the_disk_is_not_raised(tmp_path: Path) -> None:
    gone = tmp_path / "gone" / "rank-0.log"
    Spool(gone, dated=True).note(1.0, last=True)
    log = tmp_path / "rank-0.log"
    append(log, b"x")
    marks_of(log).mkdir()
    Spool(log, dated=True).note(1.0)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain\tand simple\n", "plain\tand simple\n"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"1%\r2%\r\n", "1%\n2%\n"),
        (b"a\x00\x07\x08b", "ab"),
        ("ü".encode()[1:] + "über".encode(), "über"),
        (b"bad \xff byte", "bad � byte"),
        (b"c1 \xc2\x9b31m", "c1 31m"),
    ],
)
def test_text_is_made_plain(raw: bytes, text: str) -> None:
    assert plain_text(raw) == text


def test_a_tail_is_no_longer_than_asked(log: Path) -> None:
    append(log, b"0123456789")
    assert tail_text(log, 4) == "6789"
    assert tail_text(log, 400) == "0123456789"
    os.truncate(log, 0)
    assert tail_text(log, 4) == ""
