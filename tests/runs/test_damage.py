"""What damage does to a store: what is read back of it is right, or gone; what is whole is kept, and nothing is lost
that could be found."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from headprune.errors import HeadpruneError, Notice
from headprune.runs import RunFolder, RunStore
from headprune.runs.opening import DamagedStoreError
from headprune.runs.repair import unfinished
from headprune.runs.rows import importances, results
from headprune.runs.sessions import sessions

IDENTITY = {"model": "demo", "samples": 12}
CAPTIONS = {(f"picture {sample}", 3, head): f"a cat {sample} {head}" for sample in range(12) for head in range(6)}
SCORES = {key: index / 7 for index, key in enumerate(CAPTIONS)}
SHARES = {(f"picture {sample}", 3): [SCORES[f"picture {sample}", 3, head] for head in range(6)] for sample in range(12)}
CONTEXT, SCORER = {"edit": {"name": "isolate"}, "decode_at": "layer"}, {"name": "cider"}
PICTURES = {key[0]: f"hash of {key[0]}" for key in CAPTIONS}


def fill(folder: Path) -> Path:
    """A run folder with a small store."""
    with RunFolder.claim(folder, IDENTITY, "") as run:
        store = run.store
        store.see(PICTURES)
        context, scorer = store.context(CONTEXT), store.scorer(SCORER)
        assert store.log
        with store.log.stage("captions", len(CAPTIONS), 0):
            store.add_captions(context, CAPTIONS)
        store.add_scores(context, scorer, SCORES)
        store.add_importances("patch", SHARES)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def kept(folder: Path) -> int:
    """Go on with a run, as a process does; return how many results it has. All are right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        with RunFolder.claim(folder, IDENTITY, "") as run:
            return right(run.store)


def right(store: RunStore) -> int:
    store.see(PICTURES)
    context, scorer = store.context(CONTEXT), store.scorer(SCORER)
    captions, scores, shares = store.captions(context), store.scores(context, scorer), store.importances("patch")
    assert captions.items() <= CAPTIONS.items()
    assert scores.items() <= SCORES.items()
    assert shares.items() <= SHARES.items()
    # As `runs export` reads them, too.
    for row in results(store).rows:
        if row[0] == "late":
            continue
        key = (row[0], row[2], row[3])
        assert row[7] in (None, CAPTIONS[key]) and row[10] in (None, SCORES[key]), row
        assert row[1] == PICTURES[row[0]]
    assert all(SCORES[row[1], row[3], row[4]] == row[5] for row in importances(store).rows)
    # What is missing is made again, and is there then.
    store.add_captions(context, CAPTIONS)
    store.add_scores(context, scorer, SCORES)
    assert store.captions(context) == CAPTIONS
    assert store.scores(context, scorer) == SCORES
    return len(captions) + len(scores) + len(shares)


ALL = 2 * len(CAPTIONS) + len(SHARES)


def test_a_whole_store_keeps_all(run: Path) -> None:
    assert kept(run) == ALL
    assert not list(run.glob("*.damaged*"))


def test_a_flipped_byte_never_gives_a_wrong_result(run: Path) -> None:
    content = (run / "run.sqlite").read_bytes()
    chosen = random.Random(0)
    found = []
    # Of each page its head and some of its cells.
    places = [page + chosen.randrange(4096) for page in range(0, len(content), 4096) for _ in range(4)]
    for place in [*range(0, 100, 3), *places]:
        for path in run.glob("run.sqlite*"):
            path.unlink()
        flipped = bytearray(content)
        flipped[place] ^= chosen.randrange(1, 256)
        (run / "run.sqlite").write_bytes(flipped)
        try:
            found.append(kept(run))
        except HeadpruneError as error:
            # A header that says it is someone else's file, or from the future: refused, and left as it is.
            assert place < 100, (place, error)
            assert (run / "run.sqlite").read_bytes() == flipped
    assert len(found) > len(places)
    # A page at most is lost, and mostly nothing or a row.
    assert sorted(found)[len(found) // 2] >= ALL - 3
    assert min(found) < ALL


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_short_gives_what_is_there(run: Path, share: float) -> None:
    content = (run / "run.sqlite").read_bytes()
    cut = content[: int(len(content) * share)]
    (run / "run.sqlite").write_bytes(cut)
    assert kept(run) <= ALL
    if (run / "run.sqlite.damaged-1").exists():
        assert (run / "run.sqlite.damaged-1").read_bytes() == cut
    else:  # nothing is there, or a row's end is missing, which its sum tells
        assert not cut or len(content) - len(cut) < 4096
    assert kept(run) >= 2 * len(CAPTIONS)  # it is whole again


def test_most_of_a_store_without_its_last_page_is_kept(run: Path) -> None:
    content = (run / "run.sqlite").read_bytes()
    (run / "run.sqlite").write_bytes(content[:-4096])
    assert kept(run) >= ALL // 3


@pytest.mark.parametrize("place", [0, 16, 18, 19, 20, 28, 44, 56, 60])
def test_a_damaged_header_costs_no_row(run: Path, place: int) -> None:
    """Magic, page size, versions, reserved space, number of pages, schema format, encoding, version of the tables."""
    content = bytearray((run / "run.sqlite").read_bytes())
    content[place] ^= 0x5A
    (run / "run.sqlite").write_bytes(content)
    assert kept(run) == ALL


def test_a_header_that_is_gone_costs_no_row(run: Path) -> None:
    content = (run / "run.sqlite").read_bytes()
    (run / "run.sqlite").write_bytes(os.urandom(100) + content[100:])
    assert kept(run) == ALL
    assert (run / "run.sqlite.damaged-1").read_bytes()[100:] == content[100:]


def test_a_first_page_that_is_gone_costs_no_row(run: Path) -> None:
    """Where the file says what its tables are, and where they begin."""
    content = (run / "run.sqlite").read_bytes()
    (run / "run.sqlite").write_bytes(os.urandom(4096) + content[4096:])
    assert kept(run) == ALL


def test_damage_to_what_the_tables_are_costs_no_result(run: Path) -> None:
    """What stands behind the header and the list of cells is the statements that made the tables."""
    content = (run / "run.sqlite").read_bytes()
    begins = content.index(b"view", 100)
    for place in range(begins, 4096, 9):
        for path in run.glob("run.sqlite*"):
            path.unlink()
        # No letter of UTF-8: SQLite's message about it is no text.
        (run / "run.sqlite").write_bytes(content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :])
        assert kept(run) >= 2 * len(CAPTIONS), place


def test_the_tables_fit_the_first_page(tmp_path: Path) -> None:
    """Otherwise a repair has to put further pages in the place of broken ones."""
    with RunStore.open(tmp_path) as store:
        ((size,), (pages,)) = (store.all(f"PRAGMA {name}")[0] for name in ("page_size", "page_count"))
        roots = store.all("SELECT rootpage FROM sqlite_master WHERE rootpage > 0")
    assert size == 4096
    assert {*range(1, pages + 1)} - {page for (page,) in roots} == {1}


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from headprune.runs import RunStore
store = RunStore.open(sys.argv[1])
store.see({"late": "hash"})
rows = {("late", layer, head): "x" * 60 for layer in range(9) for head in range(9)}
store.add_captions(store.context({"late": 1}), rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_damaged_log_costs_the_last_calls_at_most(run: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(run), ""], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    log = run / "run.sqlite-wal"
    content = log.read_bytes()
    chosen = random.Random(1)
    file = (run / "run.sqlite").read_bytes()
    for place in (0, 20, 40, *(chosen.randrange(len(content)) for _ in range(12))):
        for path in run.glob("run.sqlite*"):
            path.unlink()
        (run / "run.sqlite").write_bytes(file)
        log.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        assert kept(run) == ALL
        with RunStore.open(run, create=False) as store:
            assert set(store.captions(store.context({"late": 1})).values()) <= {"x" * 60}


def test_a_damaged_row_makes_way(run: Path) -> None:
    """SQLite finds nothing wrong with a letter that was changed."""
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.execute("UPDATE captions SET text = 'a dog' WHERE id = 5")
        connection.execute("UPDATE scores SET value = value + 1 WHERE id IN (7, 8)")
        connection.execute("UPDATE samples SET name = 'picture X' WHERE id = 3")
    lost = 1 + 2 + 2 * 6 + 1
    with RunStore.open(run) as store, pytest.warns(Notice) as told:
        assert right(store) == ALL - lost
    said = [str(one.message) for one in told]
    assert "run.sqlite is damaged: of its captions 7 lost, 65 whole" in said
    assert any(one.startswith("run.sqlite is damaged: of its scores 8 lost") for one in said)


def test_what_others_put_into_a_store_is_no_damage(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.execute("CREATE VIEW best AS SELECT * FROM scored ORDER BY score DESC")
    assert kept(run) == ALL
    assert not unfinished(run)


def test_a_table_that_is_not_what_it_was_is_damage(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.execute("DROP TABLE importances")
    with pytest.raises(DamagedStoreError, match="its tables are not what they were"):
        RunStore.open(run)
    assert kept(run) == 2 * len(CAPTIONS)


def test_sessions_are_kept_and_what_belongs_to_a_lost_one_is_left_out(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.sqlite")) as connection, connection:
        connection.execute("INSERT INTO stages VALUES (NULL, 77, 'captions', 1, 0, 1, 1.0)")
        connection.execute("INSERT INTO errors VALUES (NULL, 77, 'now', 'DataError', NULL, 'no', '')")
        connection.execute("DROP TABLE importances")
    assert kept(run) == 2 * len(CAPTIONS)
    with RunStore.open(run, create=False) as store:
        first, second = sessions(store)
    assert [stage.stage for stage in first.stages] == ["captions"] and first.state == second.state == "finished"


def break_importances(run: Path) -> None:
    """Damage to a page of the file that is not in the log."""
    with closing(sqlite3.connect(f"file:{run / 'run.sqlite'}?immutable=1", uri=True)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'importances'")
    with (run / "run.sqlite").open("rb+") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


CUT = """
import os, pathlib, signal, sys
import headprune.runs.repair as repair
from headprune.runs import RunFolder
left = int(sys.argv[2])
def counted(function):
    def call(*arguments, **more):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    return call
pathlib.Path.rename = counted(pathlib.Path.rename)
repair.RunStore.open = counted(repair.RunStore.open)
repair._copy = counted(repair._copy)
RunFolder.claim(sys.argv[1], {"model": "demo", "samples": 12}, "")
os._exit(7)
"""


def test_a_repair_that_is_killed_goes_on_wherever_it_was(run: Path, tmp_path: Path) -> None:
    late = subprocess.run([sys.executable, "-c", KILLED, str(run), ""], check=False, timeout=60)
    assert late.returncode == -signal.SIGKILL and (run / "run.sqlite-wal").is_file()
    break_importances(run)
    for steps in range(99):
        broken = Path(shutil.copytree(run, tmp_path / f"run{steps}"))
        done = subprocess.run([sys.executable, "-c", CUT, str(broken), str(steps)], check=False, timeout=60)
        if done.returncode == 7:
            break
        assert done.returncode == -signal.SIGKILL
        assert kept(broken) == 2 * len(CAPTIONS)
        with RunStore.open(broken, create=False) as store:
            assert len(store.captions(store.context({"late": 1}))) == 81
    assert steps > 12


FULL = """
import resource, sys
from headprune.errors import HeadpruneError
from headprune.runs import RunFolder
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    RunFolder.claim(sys.argv[1], {"model": "demo", "samples": 12}, "")
except HeadpruneError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 20_000, 60_000])
def test_a_disk_that_is_full_while_a_store_is_repaired_loses_nothing(run: Path, limit: int) -> None:
    break_importances(run)
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(run), str(limit)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "free some space" in done.stdout, done
    assert kept(run) == 2 * len(CAPTIONS)
