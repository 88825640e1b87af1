"""Manifests and spans as spreadsheets and data frames write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emotion_triage.batch.inputs import read_spans
from emotion_triage.batch.manifests import Manifest, read_manifest
from emotion_triage.batch.record import Record
from emotion_triage.errors import AudioError, TriageError

PLAIN = "source,call,agent,started_at\na.wav,C1,17,2026-03-02T09:30:00\nb.wav,C2,,\n"


def manifest(tmp_path: Path, content: str | bytes, name: str = "calls.csv") -> Manifest:
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    return read_manifest(str(tmp_path / name))


def rows(read: Manifest) -> list[tuple[str, str | None, str | None, str | None]]:
    """What a manifest puts into records: recording, call, agent, start."""
    blank = {"status": "scored", "caller_channel": "mono", "model_digest": "", "policy_digest": ""}
    records = [read.annotated(Record(source=source, **blank)) for source in read.sources]  # type: ignore[arg-type]
    return [(Path(each.source).name, each.call, each.agent, each.started_at) for each in records]


EXPECTED = [("a.wav", "C1", "17", "2026-03-02T09:30:00"), ("b.wav", "C2", None, None)]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ", "),
        PLAIN.replace("source,call,agent,started_at", " Source , CALL,Agent,Started At"),
        PLAIN.replace("started_at", "started-at"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
        "sep=,\n" + PLAIN,
        '"sep=;"\n' + PLAIN.replace(",", ";"),
        PLAIN.encode("utf-8-sig"),
        ("sep=;\r\n" + PLAIN.replace(",", ";")).encode("utf-8-sig"),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.replace(",", ";").encode("utf-16-le"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN + "\n,,,\n\n",
        PLAIN.replace("b.wav,C2,,", "b.wav,C2"),
        PLAIN.replace("a.wav,C1,17,", '"a.wav","C1","17",'),
        PLAIN + "b.wav,C2,,\n",
    ],
)
def test_whatever_a_spreadsheet_writes_is_the_same_manifest(tmp_path: Path, content: str | bytes) -> None:
    """Delimiters, spaces, capitals, marks, encodings, line ends, empty and repeated rows: the manifest is the same."""
    assert rows(manifest(tmp_path, content)) == EXPECTED


def test_french_excel(tmp_path: Path) -> None:
    """Windows-1252 with semicolons, as Excel saves it in French, is read, and said to have been read so."""
    read = manifest(tmp_path, "source;agent\nréclamation n°3.wav;Hélène\n".encode("cp1252"))
    assert rows(read) == [("réclamation n°3.wav", None, "Hélène", None)]
    assert any("read as Windows-1252" in note for note in read.notes)


def test_unknown_columns_are_named(tmp_path: Path) -> None:
    """A column that is not known is left out and named with a guess; the caller's is known, and never read."""
    read = manifest(tmp_path, "source,caller,agnet,durée\na.wav,+33612345678,17,3\n")
    (note,) = read.notes
    assert "left out columns that are not known: agnet (did you mean agent?), durée; known are source" in note
    assert "+336" not in repr(read)


def test_rows_that_say_again_are_noted(tmp_path: Path) -> None:
    """A row that is there twice counts once, and is noted."""
    read = manifest(tmp_path, PLAIN + "a.wav,C1,17,2026-03-02 09:30:00\n")
    assert rows(read) == EXPECTED
    assert "left out 1 rows that say again" in read.notes[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fichier;agent_id\na.wav;17\n", "got the columns fichier, agent_id, expected some of source, call"),
        ("", "got the columns nothing, expected some of source"),
        ("source,start_s,end_s\na.wav,1,5,2,5\n", "row 2: got 5 cells under 3 columns.*a decimal comma too"),
        ("source,Source\na.wav,b.wav\n", "got 2 columns source, expected one"),
        ("source,caller_channel\na.wav,middle\n", "row 2: got caller_channel 'middle', expected left, right, mono"),
        ("source,start_s,end_s\na.wav,1,\n", "row 2: got start_s 1 and end_s None, expected both as seconds"),
        ("source,start_s,end_s\na.wav,one,2\n", "row 2: got start_s one and end_s 2, expected both"),
        ("source,caller_channel\na.wav,left\na.wav,right\n", "row 3: got a.wav twice and not alike"),
        (b"PK\x03\x04rest of a workbook", r"got a workbook \(.xlsx or .ods\) under the name of a CSV"),
        (b"source\n\x81.wav\n", "not UTF-8, UTF-16 or Windows-1252"),
    ],
)
def test_what_is_no_manifest_says_why(tmp_path: Path, content: str | bytes, message: str) -> None:
    """A table that cannot be used is an error with its row and its fix."""
    with pytest.raises(AudioError, match=message):
        manifest(tmp_path, content)


def test_channels_and_spans_of_rows(tmp_path: Path) -> None:
    """A row says its own channel; rows of one recording say its spans, in any order, with decimal commas."""
    text = "source;call;caller_channel;start_s;end_s\na.wav;C1;Left;;\nb.wav;C2;;5,5;7\nb.wav;C2;;1;2,25\nc.wav;C3;;;\n"
    read = manifest(tmp_path, text)
    a, b, c = read.sources
    assert read.channels == {a: "left"}
    assert read.spans is not None
    assert (read.spans.of(a), read.spans.of(b), read.spans.of(c)) == (None, ((1.0, 2.25), (5.5, 7.0)), None)


def test_spans_from_a_spreadsheet(tmp_path: Path) -> None:
    """A file of spans may be what a spreadsheet writes too."""
    (tmp_path / "spans.csv").write_bytes("sep=;\nSource;Start s;End s\na.wav;0,5;1,25\n".encode("utf-16"))
    assert read_spans(tmp_path / "spans.csv").of(str(tmp_path / "a.wav")) == ((0.5, 1.25),)


def parquet_manifest(tmp_path: Path, columns: dict[str, Any]) -> Manifest:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), tmp_path / "calls.parquet")
    return read_manifest(str(tmp_path / "calls.parquet"))


def test_parquet_of_a_data_frame(tmp_path: Path) -> None:
    """Numbers that a missing one made fractions, bytes, dictionaries and times come out as people write them."""
    arrow = pytest.importorskip("pyarrow")
    read = parquet_manifest(
        tmp_path,
        {
            "Source": [b"a.wav", b"b.wav"],
            "call": arrow.array(["C1", "C2"]).dictionary_encode(),
            "agent": [17.0, float("nan")],
            "started_at": arrow.array([1772443800123456789, None], arrow.timestamp("ns")),
            "comment": [["x"], None],
        },
    )
    assert rows(read) == [("a.wav", "C1", "17", "2026-03-02T09:30:00.123456"), ("b.wav", "C2", None, None)]
    assert "left out columns that are not known: comment" in read.notes[0]


def test_parquet_that_is_none(tmp_path: Path) -> None:
    """What is not Parquet, or holds lists for names, is an error."""
    pytest.importorskip("pyarrow")
    for content in (b"source\na.wav\n", b"", b"PAR1PAR1"):
        with pytest.raises(TriageError, match="got what is not Parquet"):
            manifest(tmp_path, content, "calls.parquet")
    with pytest.raises(AudioError, match="row 1: got list in source, expected text"):
        parquet_manifest(tmp_path, {"source": [["a.wav"]]})
