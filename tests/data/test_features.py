from pathlib import Path

import numpy as np
import pytest

from eennc.data.cache import Cache
from eennc.data.features import CHUNK, Column, gather, largest_grid
from eennc.support.diagnostics import UserError
from eennc.support.instruments import Silent

COLUMNS = (Column("a", 3), Column("b", 5, "float32"))
SAMPLES = 5 * CHUNK + 7


def rows(start: int, stop: int) -> list[np.ndarray]:
    index = np.arange(start, stop, dtype=np.float32)[:, None]
    return [np.sin(index * np.arange(1, 4)), np.cos(index * np.arange(1, 6))]


class KilledError(Exception):
    pass


def killed_after(chunks: int):
    calls = 0

    def compute(start: int, stop: int) -> list[np.ndarray]:
        nonlocal calls
        calls += 1
        if calls > chunks:
            raise KilledError
        return rows(start, stop)

    return compute


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def undisturbed(tmp_path: Path) -> dict[str, bytes]:
    return content(gather(Cache(tmp_path / "plain"), "k", SAMPLES, COLUMNS, rows, Silent(), "x").folder)


def test_content_and_digest(tmp_path: Path) -> None:
    features = gather(Cache(tmp_path), "k", SAMPLES, COLUMNS, rows, Silent(), "x")
    a, b = rows(0, SAMPLES)
    assert features.samples == SAMPLES
    np.testing.assert_array_equal(features.array("a"), a.astype(np.float16))
    np.testing.assert_array_equal(features.array("b"), b.astype(np.float32))
    assert features.digest("a") != features.digest("b")


def test_second_time_computes_nothing(tmp_path: Path) -> None:
    gather(Cache(tmp_path), "k", SAMPLES, COLUMNS, rows, Silent(), "x")
    gather(Cache(tmp_path), "k", SAMPLES, COLUMNS, killed_after(0), Silent(), "x")


@pytest.mark.parametrize("chunks", range(6))
def test_taken_up_where_it_was_killed(tmp_path: Path, chunks: int, undisturbed: dict[str, bytes]) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KilledError):
        gather(cache, "k", SAMPLES, COLUMNS, killed_after(chunks), Silent(), "x")
    features = gather(cache, "k", SAMPLES, COLUMNS, killed_after(6 - chunks), Silent(), "x")
    assert content(features.folder) == undisturbed


@pytest.mark.parametrize("damage", ["torn data", "torn journal", "bit", "short file", "no journal", "wrong header"])
def test_damage_to_a_killed_run_is_repaired(tmp_path: Path, damage: str, undisturbed: dict[str, bytes]) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(KilledError):
        gather(cache, "k", SAMPLES, COLUMNS, killed_after(3), Silent(), "x")
    partial = tmp_path / "features" / "k.partial"
    data, journal = partial / "b.npy", partial / "journal"
    old = data.read_bytes()
    match damage:
        case "torn data":
            data.write_bytes(old + b"half a chunk")
        case "torn journal":
            journal.write_bytes(journal.read_bytes() + b"12ab")
        case "bit":
            data.write_bytes(old[:5000] + bytes([old[5000] ^ 1]) + old[5001:])
        case "short file":
            data.write_bytes(old[:-100])
        case "no journal":
            journal.unlink()
        case _:
            data.write_bytes(b"x" + old[1:])
    assert content(gather(cache, "k", SAMPLES, COLUMNS, rows, Silent(), "x").folder) == undisturbed


def test_a_finished_file_cut_short_is_extracted_again(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    cache = Cache(tmp_path)
    folder = gather(cache, "k", SAMPLES, COLUMNS, rows, Silent(), "x").folder
    (folder / "a.npy").write_bytes(b"")
    assert content(gather(cache, "k", SAMPLES, COLUMNS, rows, Silent(), "x").folder) == undisturbed


def test_nan_is_refused_with_its_sample(tmp_path: Path) -> None:
    def compute(start: int, stop: int) -> list[np.ndarray]:
        a, b = rows(start, stop)
        if start <= 700 < stop:
            a[700 - start, 1] = np.nan
        return [a, b]

    with pytest.raises(UserError, match="sample 700 "):
        gather(Cache(tmp_path), "k", SAMPLES, COLUMNS, compute, Silent(), "x")


def test_what_float16_cannot_hold_is_refused(tmp_path: Path) -> None:
    def compute(start: int, stop: int) -> list[np.ndarray]:
        return [np.full((stop - start, 2), 1e5, np.float32)]

    with pytest.raises(UserError, match="float16 can hold"):
        gather(Cache(tmp_path), "k", 10, [Column("a", 2)], compute, Silent(), "x")
    gather(Cache(tmp_path), "l", 10, [Column("a", 2, "float32")], compute, Silent(), "x")


def test_largest_grid() -> None:
    maps = [(8, 16, 16), (16, 3, 8), (4, 20)]
    # 2 bytes * 2 poolings * (8*16 + 16*3*4 + 4*4) numbers at grid 4
    full = 4 * 100 * (8 * 16 + 16 * 12 + 4 * 4)
    assert largest_grid(maps, 100, full) == 4
    assert largest_grid(maps, 100, full - 1) == 3
    assert largest_grid(maps, 100, 4 * 100 * (8 * 4 + 16 * 4 + 4 * 2)) == 2
    assert largest_grid(maps, 100, 0) == 1
    assert largest_grid(maps, 100, full * 100, largest=2) == 2
