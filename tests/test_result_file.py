"""Records on disk: whole after each of them, whatever ends the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from emotion_triage.batch.result_file import RecordFile, read_records
from emotion_triage.batch.scoring import Record
from emotion_triage.errors import MissingExtraError, TriageError

MADE_BY = {"model_digest": "m" * 64, "policy_digest": "p" * 16, "caller_channel": "left"}
RECORDS = [
    Record(
        source="a.wav", status="scored", anger_mean=0.25, peak_level="calm", drivers="débit +25 %, F0 -3", **MADE_BY
    ),
    Record(source='odd, "name"\n.wav', status="error", error='got "nothing",\nexpected audio', **MADE_BY),
    Record(source="c.wav", status="no_speech", duration_s=3.5, speech_s=0.0, **MADE_BY),
    Record(source="d.wav", status="scored", anger_mean=1 / 3, escalated_s=0.0, **MADE_BY),
]


def opened(path: Path, mode: Any = "new", **changed: Any) -> RecordFile:
    return RecordFile(path, mode=mode, **{**MADE_BY, **changed})


def write(path: Path, mode: Any = "new", stop: int = len(RECORDS)) -> None:
    """A run over the recordings: scores those that are not done, is stopped after some."""
    with opened(path, mode) as file:
        for record in RECORDS[:stop]:
            if record.source not in file.done:
                file.append(record)
        if stop == len(RECORDS):
            file.finish()


def test_jsonl_holds_the_records(tmp_path: Path) -> None:
    """Each line of a JSONL file is a record."""
    write(tmp_path / "out.jsonl")
    assert msgspec.json.Decoder(Record).decode_lines((tmp_path / "out.jsonl").read_bytes()) == RECORDS


def test_csv_holds_the_records(tmp_path: Path) -> None:
    """A CSV file has the fields' names on top and reads back to the records; what is not known is empty."""
    write(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == Record.__struct_fields__
    known = [{name: value or None for name, value in row.items()} for row in rows]
    assert msgspec.convert(known, list[Record], strict=False) == RECORDS


def test_parquet_holds_the_records(tmp_path: Path) -> None:
    """A Parquet file has null where nothing is known, and leaves nothing beside it."""
    parquet = pytest.importorskip("pyarrow.parquet")
    write(tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert msgspec.convert(table.to_pylist(), list[Record]) == RECORDS
    assert str(table.schema.field("first_escalation_s").type) == "double"
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_kill_at_any_byte(tmp_path: Path, suffix: str) -> None:
    """Cut off anywhere, a file that is gone on with becomes what it would have been, byte for byte."""
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    write(whole)
    content = whole.read_bytes()
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        write(cut, "resume")
        assert cut.read_bytes() == content, f"cut at byte {length}"


def test_a_parquet_run_that_was_killed(tmp_path: Path) -> None:
    """Until its end, a Parquet run has no Parquet file; it goes on from the records beside it."""
    parquet = pytest.importorskip("pyarrow.parquet")
    out, log = tmp_path / "out.parquet", tmp_path / "out.parquet.partial.jsonl"
    write(out, stop=2)
    assert not out.exists()
    log.write_bytes(log.read_bytes()[:-5])
    write(out, "resume")
    assert [row["source"] for row in parquet.read_table(out).to_pylist()] == [each.source for each in RECORDS]
    assert not log.exists()


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_never_twice(tmp_path: Path, suffix: str) -> None:
    """A run that was whole is gone on with by adding nothing, or only what is new."""
    if suffix == ".parquet":
        pytest.importorskip("pyarrow.parquet")
    out = tmp_path / f"out{suffix}"
    write(out)
    content = out.read_bytes()
    write(out, "resume")
    assert out.read_bytes() == content
    with opened(out, "resume") as file:
        assert file.done == {record.source for record in RECORDS}
        assert file.failed == 1
        file.append(msgspec.structs.replace(RECORDS[0], source="new.wav"))
        file.finish()
    with opened(out, "resume") as file:
        assert len(file.done) == len(RECORDS) + 1


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    """A file that exists is not written over unless asked for."""
    out = tmp_path / "out.jsonl"
    write(out)
    with pytest.raises(TriageError, match=r"exists already; go on with it \(--resume\), replace it \(--overwrite\)"):
        opened(out)
    write(out, "overwrite", stop=1)
    assert len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"model_digest": "n" * 64},
            "records of model mmmmmmmmmmmm and policy pppppppppppppppp, expected nnnnnnnnnnnn",
        ),
        ({"policy_digest": "q" * 16}, "policy pppppppppppppppp, expected mmmmmmmmmmmm and qqqqqqqqqqqqqqqq"),
        ({"caller_channel": "right"}, "got records of caller channel left, expected right"),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_records_of_another_kind(tmp_path: Path, suffix: str, changed: dict[str, str], message: str) -> None:
    """Records of another model, policy or channel are not gone on with, and stay as they are."""
    out = tmp_path / f"out{suffix}"
    write(out, stop=2)
    content = out.read_bytes()
    with pytest.raises(TriageError, match=message):
        opened(out, "resume", **changed)
    assert out.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("out.jsonl", b'{"a": 1}\n'),
        ("out.jsonl", b"\xff\xfe\n"),
        ("out.csv", b"name,age\nx,3\n"),
        ("out.parquet", b"PAR1 not"),
    ],
)
def test_what_are_not_records(tmp_path: Path, name: str, content: bytes) -> None:
    """A file of something else is not gone on with, and stays as it is."""
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow.parquet")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TriageError, match="has rows of another version"):
        opened(tmp_path / name, "resume")
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.xlsx", r"ends in '.xlsx', expected .jsonl, .csv, .parquet"),
        ("out", "ends in '', expected"),
        ("missing/out.csv", r"cannot be written \(No such file or directory\); check that its folder exists"),
        ("folder.jsonl", "got a folder, expected a file"),
    ],
)
def test_where_nothing_can_be_written(tmp_path: Path, name: str, message: str) -> None:
    """A file of no known format, in no folder, or that is a folder, is refused when it is opened."""
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(TriageError, match=message):
        opened(tmp_path / name)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow, Parquet is refused at once, with the extra to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match="install the extra 'parquet'"):
        opened(tmp_path / "out.parquet")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_full_device(tmp_path: Path, suffix: str) -> None:
    """A full disk is a message that says what to do."""
    out = tmp_path / f"out{suffix}"
    out.symlink_to("/dev/full")
    with (
        opened(out, "overwrite") as file,
        pytest.raises(TriageError, match=r"No space left on device.*kept: make room, then go on with --resume"),
    ):
        file.append(RECORDS[0])


class FullDisk:
    """A file on a disk that takes so many bytes more, as a write that comes short and then fails."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: memoryview) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        taken = self.file.write(data[: self.room])
        self.room -= taken
        return int(taken)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_disk_that_fills_up(tmp_path: Path, suffix: str, room: int) -> None:
    """What a full disk took of a record is cut off again: the file stays valid, and the run goes on later."""
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    write(whole)
    with opened(out) as file:
        file.append(RECORDS[0])
        kept = out.read_bytes()
        file._records._file = FullDisk(file._records._file, room)
        with pytest.raises(TriageError, match="No space left"):
            file.append(RECORDS[1])
    assert out.read_bytes() == kept
    write(out, "resume")
    assert out.read_bytes() == whole.read_bytes()


def test_a_disk_too_full_for_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the Parquet file finds no room, its records stay beside it and make it later."""
    parquet = pytest.importorskip("pyarrow.parquet")

    def no_room(path: Path, schema: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "ParquetWriter", no_room)
        with pytest.raises(TriageError, match=r"No space left.*the records are in .*partial\.jsonl"):
            write(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet.partial.jsonl"]
    write(out, "resume")
    assert parquet.read_table(out).num_rows == len(RECORDS)


def test_every_field_of_the_issue(tmp_path: Path) -> None:
    """A record has every field that readers count on, in JSON as in CSV."""
    wanted = {"source", "status", "error", "duration_s", "speech_s", "anger_mean", "anger_max", "distress_mean"}
    wanted |= {"arousal_mean", "arousal_max", "peak_level", "escalated_s", "first_escalation_s", "route", "rule"}
    write(tmp_path / "out.jsonl")
    told = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert wanted | {"drivers"} <= set(told)


@pytest.mark.parametrize(
    "source", ["=1+1.wav", "+33.wav", "-2.wav", "@sum.wav", "\t=1.wav", "'=1.wav", "''-x.wav", "'a.wav", "a=b.wav"]
)
def test_no_cell_is_a_formula(tmp_path: Path, source: str) -> None:
    """A text that a spreadsheet would compute is written as text and read back as it was; numbers stay numbers."""
    path = tmp_path / "scores.csv"
    record = msgspec.structs.replace(RECORDS[3], source=source, agent="=cmd|' /C calc'!A0", lost_s=-0.5)
    with opened(path) as file:
        file.append(record)
    assert list(read_records(path)) == [record]
    with path.open(encoding="utf-8", newline="") as text:
        (row,) = csv.DictReader(text)
    assert row["lost_s"] == "-0.5"
    assert not {row["source"][0], row["agent"][0]} & set("=+-@\t\r")
    with opened(path, "resume") as file:
        assert file.done == {source}
