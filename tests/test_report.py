"""Pages that open without a network, name nobody, and say what the records say."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.affect.affect import Driver, describe
from emotion_triage.audio.decoding import Headerless
from emotion_triage.batch.append_log import lines_of
from emotion_triage.batch.record import Record
from emotion_triage.batch.timeline import TimelineRow
from emotion_triage.errors import MissingExtraError, TriageError
from emotion_triage.prosody.functionals import HEADLINES
from emotion_triage.report.audit import Batch
from emotion_triage.report.envelope import envelope_of
from emotion_triage.report.pictures import timeline_picture
from emotion_triage.report.wording import WORDS, masked, reasons
from emotion_triage.texts import LANGUAGES, Language

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")
from typer.testing import CliRunner

pytest.importorskip("typer")

from emotion_triage.cli.app import app
from emotion_triage.report.pages import write_report

ROOT = Path(__file__).resolve().parents[1]
ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(2)>&{{ 7 * 7 }}'
CALLER = "0612345678"
MAX_BYTES = 1_500_000
MADE_BY = {"model_digest": "m" * 64, "policy_digest": "p" * 16, "caller_channel": "mono"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


def record(source: str, **known: Any) -> Record:
    scores = dict.fromkeys(("anger_mean", "distress_mean", "distress_max", "arousal_mean", "arousal_max"), 0.2)
    told = {"status": "scored", "duration_s": 20.0, "speech_s": 9.0, "lost_s": 0.0, "anger_max": 0.4, **scores}
    told |= {"peak_level": "calm", "peak_s": 3.0, "escalated_s": 0.0, "route": "general", "rule": "everyday call"}
    return Record(**{"source": source, **MADE_BY, **told, **known})


def timeline(source: str, duration_s: float = 20.0) -> list[TimelineRow]:
    """Calm, then escalated from 8 to 12 s, a gap of 2 s at 14 s."""
    rows = [
        TimelineRow(
            source=source, kind="affect", time_s=t / 2, level="calm", anger=t % 7 / 7, distress=0.1, arousal=0.5
        )
        for t in range(6, int(2 * duration_s))
    ]
    reason = "voice 8 dB louder, speech rate +25 %"
    for time_s, level in ((8.0, "escalated"), (12.0, "calm")):
        rows.append(TimelineRow(source=source, kind="escalation", time_s=time_s, level=level, drivers=reason))
    rows.append(TimelineRow(source=source, kind="route", time_s=8.0, level="escalated", queue="senior", rule="rule 7"))
    rows.append(TimelineRow(source=source, kind="gap", time_s=14.0, level="calm", lost_s=2.0))
    return sorted(rows, key=lambda row: row.time_s)


def write(folder: Path, records: list[Record], language: Language = "en", **of: list[TimelineRow]) -> dict[str, str]:
    """Write a report; return its pages by their names."""
    (folder / "scores.jsonl").write_bytes(lines_of(records, ".jsonl"))
    rows = [row for each in of.values() for row in each]
    (folder / "scores.events.jsonl").write_bytes(lines_of(rows, ".jsonl"))
    pages = list(write_report(folder / "scores.jsonl", folder / "report", language=language))
    return {str(page.relative_to(folder / "report")): page.read_text(encoding="utf-8") for page in pages}


class Page(HTMLParser):
    """A page taken apart: elements with their attributes, text, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Language, dict[str, str]]:
    """A batch with every kind of call, in both languages."""
    folder = tmp_path_factory.mktemp("batch")
    dated = {"started_at": "2026-03-02T09:30:00", "group": "fr", "label": "other", "queue": "sales", "agent": "a-77"}
    worst = {"peak_level": "escalated", "escalated_s": 4.0, "first_escalation_s": 8.0, "route": "senior"}
    records = [
        record("calm.wav", **dated),
        record("worst.wav", **{**dated, **worst, "drivers": "voice 8 dB louder, speech rate +25 %", "call": "C-2"}),
        record("tense.wav", **{**dated, "peak_level": "tense", "started_at": "2026-03-03T17:00:00"}),
        Record(source="silence.wav", status="no_speech", duration_s=5.0, speech_s=0.0, lost_s=0.0, **MADE_BY),
        Record(source="broken.wav", status="error", error="broken.wav: got an empty file", **MADE_BY),
    ]
    return {language: write(folder, records, language, worst=timeline("worst.wav")) for language in LANGUAGES}


def test_a_page_for_each_call_and_one_for_all(pages: dict[Language, dict[str, str]]) -> None:
    """Each record has a page, the batch has one that links to those worth a listen, worst first."""
    for each in pages.values():
        assert set(each) == {"index.html", *(f"calls/{i}.html" for i in range(1, 6))}
        links = [attributes["href"] for tag, attributes in Page(each["index.html"]).elements if tag == "a"]
        everything = [f"calls/{i}.html" for i in range(1, 6)]
        assert links == ["#content", "calls/2.html", "calls/3.html", *everything, "calls/5.html"]


def test_pages_are_whole(pages: dict[Language, dict[str, str]]) -> None:
    """Each page is well nested, under 1.5 MB, runs no script and asks no address for anything."""
    for each in [page for of in pages.values() for page in of.values()]:
        assert len(each.encode()) < MAX_BYTES
        assert "://" not in each
        page = Page(each)
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"script", "iframe", "object", "embed", "link", "img", "image", "base", "form"}
        attributes = {name: value or "" for _, of in page.elements for name, value in of.items()}
        assert not [name for name in attributes if name.startswith("on")]
        for _, of in page.elements:
            for name in ("src", "href", "xlink:href", "action"):
                assert re.fullmatch(r"#content|calls/\d+\.html|\.\./index\.html", of.get(name) or "#content")
        assert "url(" not in each
        assert "default-src 'none'" in each


def test_a_long_call_stays_small(tmp_path: Path) -> None:
    """The page of a call of six hours, with changes all along, is under 1.5 MB."""
    duration_s = 6 * 3600.0
    soundfile.write(tmp_path / "long.wav", np.random.default_rng(0).uniform(-1, 1, 8000 * 600), 8000, subtype="ULAW")
    changes = [
        TimelineRow(
            source="long.wav", kind="escalation", time_s=t, level="tense" if t % 20 else "calm", drivers="F0 +9 %"
        )
        for t in np.arange(10.0, duration_s, 10.0).tolist()
    ]
    source = str(tmp_path / "long.wav")
    rows = sorted([*timeline(source, duration_s), *changes], key=lambda row: row.time_s)
    rows = [msgspec.structs.replace(row, source=source) for row in rows]
    written = write(tmp_path, [record(source, duration_s=duration_s)], long=rows)
    assert all(len(page.encode()) < MAX_BYTES for page in written.values())


@pytest.mark.parametrize("field", ["source", "call", "queue", "disposition", "group", "route", "rule", "drivers"])
def test_what_is_named_is_not_run(tmp_path: Path, field: str) -> None:
    """A file, queue, group or reason named like markup is shown as text, in pages and in pictures."""
    known = {"started_at": "2026-03-02T09:30:00", "label": "other", "group": "g", "peak_level": "tense", field: ATTACK}
    source = str(known.pop("source", "a.wav"))
    rows = [msgspec.structs.replace(row, queue=ATTACK, rule=ATTACK) for row in timeline(source)]
    for html in write(tmp_path, [record(source, **known)], one=rows).values():
        page = Page(html)
        assert not {tag for tag, _ in page.elements} & {"script", "img"}
        assert not [name for _, of in page.elements for name in of if name.startswith("on")]
        assert "49" not in re.findall(r"&(\S+)", page.text)
    shown = " ".join(Page(html).text for html in write(tmp_path, [record(source, **known)], one=rows).values())
    assert "<script>alert(1)</script>" in shown


def test_an_error_is_not_run(tmp_path: Path) -> None:
    """An error that quotes a file name like markup is shown as text."""
    broken = Record(source=ATTACK, status="error", error=f"{ATTACK}: got nothing", **MADE_BY)
    for html in write(tmp_path, [broken]).values():
        assert "script" not in {tag for tag, _ in Page(html).elements}


def test_nobody_is_named(tmp_path: Path) -> None:
    """No page has a telephone number of a file's or call's name, nor an agent."""
    paths = [f"calls/{CALLER}_2026-03-01.wav", "calls/06 12 34 56 78.wav", "calls/+33-6-12-34-56-78.wav"]
    records = [record(path, agent="agent-smith", disposition=f"recall {CALLER}") for path in paths]
    records.append(record("x.wav", call=CALLER, peak_level="tense", agent="agent-smith"))
    records.append(Record(source=CALLER, status="error", error=f"{CALLER}.wav: got nothing", **MADE_BY))
    for name, html in write(tmp_path, records).items():
        digits = re.sub(r"\D", "", Page(html).text.replace("m" * 64, ""))
        assert CALLER not in digits, name
        assert CALLER[1:] not in digits, name
        assert "agent-smith" not in html


@given(st.text("0123456789 .-+_aé", max_size=40))
def test_masking(name: str) -> None:
    """No run of nine digits or more, however it is spaced, survives, and shorter names stay as they are."""
    told = masked(name)
    assert not re.search(r"\d(?:[ .\-]?\d){8}", told)
    if sum(character.isdigit() for character in name) < 9:
        assert told == name


# Languages


def test_words_in_both_languages() -> None:
    """Every word of the pages exists in both languages, with the same places to fill, and is used."""
    sources = [*(ROOT / "emotion_triage" / "report").rglob("*.j2"), *(ROOT / "emotion_triage" / "report").glob("*.py")]
    used = "".join(path.read_text() for path in sources if path.name != "wording.py")
    for key, told in WORDS.items():
        assert set(told) == set(LANGUAGES), key
        assert all(told.values())
        assert told["en"].count("{}") == told["fr"].count("{}")
        assert f"w.{key}" in used or f'"{key}"' in used or key in {"calm", "no_speech", "error", "gap"}, key


def test_a_page_speaks_one_language(pages: dict[Language, dict[str, str]]) -> None:
    """A French page has no English word of the report's, nor the other way, and says which language it is in."""
    for language, other in (("en", "fr"), ("fr", "en")):
        for html in pages[language].values():
            page = Page(html)
            assert ("html", {"lang": language}) in page.elements
            for told in WORDS.values():
                if told[other] not in told[language] and len(told[other]) > 8 and "{}" not in told[other]:
                    assert told[other] not in page.text
    assert "voix 8 dB plus forte" in Page(pages["fr"]["calls/2.html"]).text
    assert "0,40" in pages["fr"]["index.html"]
    assert "0.40" in pages["en"]["index.html"]


@pytest.mark.parametrize("name", list(HEADLINES))
def test_reasons_in_another_language(name: str) -> None:
    """Reasons scored in one language are told in the other as if they had been scored in it."""
    for change in (-12.0, -1.5, 1.5, 12.0):
        driver = Driver(name=name, change=change, unit=HEADLINES[name][1], reference="caller", weight=1.0)
        for ours in LANGUAGES:
            for theirs in LANGUAGES:
                assert reasons(driver.text(theirs), ours) == [driver.text(ours)]
    both = (
        Driver(name="loudness", change=8.0, unit="dB", reference="caller", weight=1.0),
        Driver(name="pauses", change=-9.0, unit="pt", reference="caller", weight=0.5),
    )
    assert ", ".join(reasons(describe(both, "en"), "fr")) == describe(both, "fr")


# What they say


def test_a_calls_page(pages: dict[Language, dict[str, str]]) -> None:
    """A call's page tells level, where to listen, route, rule, reasons, changes, gaps and digests."""
    page = Page(pages["en"]["calls/2.html"])
    for told in ("C-2", "escalated", "for 0:04, from 0:08", "senior", "everyday call", "voice 8 dB louder", "p" * 16):
        assert told in page.text
    assert re.search(r"0:08 escalated voice 8 dB louder, speech rate \+25 %", page.text)
    assert re.search(r"0:14 gap 0:02", page.text)
    assert WORDS["no_wave"]["en"] in page.text
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 2


def test_keyboard_and_reader(pages: dict[Language, dict[str, str]]) -> None:
    """Pictures have a label in words, what scrolls can be focused, the content can be skipped to, heads have scopes."""
    for html in pages["en"].values():
        page = Page(html)
        assert all(of.get("aria-label") for tag, of in page.elements if tag == "figure")
        scrolls = [of for _, of in page.elements if "scroll" in (of.get("class") or "").split()]
        assert all(of.get("tabindex") == "0" and (of.get("aria-labelledby") or of.get("aria-label")) for of in scrolls)
        assert all(of.get("scope") for tag, of in page.elements if tag == "th")
        ids = [of["id"] for _, of in page.elements if of.get("id") and not (of["id"] or "").startswith("clip")]
        assert "content" in ids
        headings = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
        assert headings[0] == 1
        assert set(headings[1:]) <= {2}


def test_the_caller_alone_is_drawn(tmp_path: Path) -> None:
    """Of a mono file of both sides the outline holds the caller's spans only; of a stereo file his channel."""
    loud, soft = 0.5 * np.ones(8000, np.float32), 0.001 * np.ones(8000, np.float32)
    soundfile.write(tmp_path / "mono.wav", np.concatenate([soft, loud, soft]), 8000)
    mono = record(str(tmp_path / "mono.wav"), caller_channel=None, duration_s=3.0)
    gap = TimelineRow(source=mono.source, kind="gap", time_s=1.0, level="calm", lost_s=1.0)
    assert max(peak.height for peak in envelope_of(mono, [gap])) < 0.1
    assert not [peak for peak in envelope_of(mono, [gap]) if 1.0 < peak.time_s < 1.99]
    soundfile.write(tmp_path / "both.wav", np.stack([soft, loud], axis=1), 8000)
    heights = {}
    for channel in ("left", "right"):
        both = record(str(tmp_path / "both.wav"), caller_channel=channel, duration_s=1.0)
        heights[channel] = max(peak.height for peak in envelope_of(both, []))
    assert heights["left"] < 0.1 < 0.8 < heights["right"]
    assert envelope_of(record("gone.wav"), []) == []


@pytest.mark.parametrize(
    ("encoding", "subtype", "within"), [("mulaw", "ULAW", 0.1), ("alaw", "ALAW", 0.1), ("gsm", "GSM610", 0.2)]
)
def test_a_recording_without_a_header_is_drawn(tmp_path: Path, encoding: str, subtype: str, within: float) -> None:
    """Once it is said how it is coded, its outline is that of the same sound with a header; without a word, none."""
    sound = 0.5 * np.sin(np.arange(16000) * 0.3).astype(np.float32)
    sound[:8000] *= 0.01
    soundfile.write(tmp_path / "a.raw", sound, 8000, format="RAW", subtype=subtype)
    soundfile.write(tmp_path / "a.wav", sound, 8000)
    bare, whole = (record(str(tmp_path / name), caller_channel="mono", duration_s=2.0) for name in ("a.raw", "a.wav"))
    assert envelope_of(bare, []) == []
    drawn = envelope_of(bare, [], headerless=Headerless(encoding, 8000))
    np.testing.assert_allclose(
        [peak.height for peak in drawn], [peak.height for peak in envelope_of(whole, [])][: len(drawn)], atol=within
    )


def test_the_command_draws_what_score_took(tmp_path: Path) -> None:
    """`report` takes the encoding and the rate that `score` took, and wants both."""
    sound = 0.5 * np.sin(np.arange(16000) * 0.3).astype(np.float32)
    soundfile.write(tmp_path / "a.ulaw", sound, 8000, format="RAW", subtype="ULAW")
    coded = ["--encoding", "mulaw", "--sample-rate", "8000"]
    scores, out = str(tmp_path / "s.jsonl"), str(tmp_path / "out")
    command = ["score", str(tmp_path), "--caller-channel", "mono", "--out", scores, "--events", *coded]
    assert CliRunner().invoke(app, command).exit_code == 0
    lacking = CliRunner().invoke(app, ["report", scores, "--out", out, "--encoding", "mulaw"])
    assert (lacking.exit_code, "got no --sample-rate with it" in lacking.output) == (2, True)
    assert CliRunner().invoke(app, ["report", scores, "--out", out, *coded]).exit_code == 0


def test_counts() -> None:
    """False alarms are escalated calls among those labelled other, by group, and all of them count in the last line."""
    records = [
        record(f"{i}.wav", group=group, label=label, peak_level=level)
        for i, (group, label, level) in enumerate(
            [
                ("a", "other", "escalated"),
                ("a", "other", "tense"),
                ("a", "angry", "escalated"),
                ("b", "other", "calm"),
                (None, "other", "escalated"),
                ("b", None, "escalated"),
            ]
        )
    ]
    audits = {
        audit.group: tuple((rate.count, rate.of) for rate in (audit.false_alarms, audit.found))
        for audit in Batch(records).audits()
    }
    assert audits == {"a": ((1, 2), (1, 1)), "b": ((0, 1), (0, 0)), None: ((2, 4), (1, 1))}


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are none, or not there, and a missing library, are told in a message."""
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(TriageError, match="got no records"):
        list(write_report(tmp_path / "empty.jsonl", tmp_path / "out"))
    with pytest.raises(TriageError, match="cannot be read"):
        list(write_report(tmp_path / "gone.jsonl", tmp_path / "out"))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="install the extra 'report'"):
        list(write_report(tmp_path / "empty.jsonl", tmp_path / "out"))


def test_the_command(tmp_path: Path) -> None:
    """`report` writes the pages and says where; a report that is there is not written over unasked."""
    (tmp_path / "s.jsonl").write_bytes(lines_of([record("a.wav")], ".jsonl"))
    cli = pytest.importorskip("emotion_triage.cli.app")
    command = ["report", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "r")]
    for arguments, code in (([], 0), ([], 2), (["--overwrite", "--language", "fr"], 0)):
        assert CliRunner().invoke(cli.app, [*command, *arguments]).exit_code == code
    assert '<html lang="fr">' in (tmp_path / "r" / "index.html").read_text()


def test_a_score_on_its_own_is_seen() -> None:
    """A score that no other stands beside, of which no line can be drawn, is a point; scores in a row are none."""
    beside = [
        TimelineRow(source="a", kind="affect", time_s=t, level="calm", anger=0.2, arousal=0.4) for t in (3.0, 3.5, 4.0)
    ]
    alone = TimelineRow(source="a", kind="affect", time_s=20.0, level="calm", anger=0.9, arousal=0.4)
    points = [
        len(re.findall(r' d="M[^"]*A', timeline_picture(rows, [], 30.0, "en").wide))
        for rows in (beside, [*beside, alone])
    ]
    assert points == [0, 2]


def links(html: str) -> list[str]:
    return [str(attributes["href"]) for tag, attributes in Page(html).elements if tag == "a"]


def test_every_call_is_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever became of a call, its page is linked, and the pages of a long list lead from one to the next."""
    monkeypatch.setattr("emotion_triage.report.pages.LISTED", 3)
    records = [record(f"calm-{i}.wav") for i in range(5)]
    records.append(
        Record(source="silence.wav", status="no_speech", duration_s=5.0, speech_s=0.0, lost_s=0.0, **MADE_BY)
    )
    records.append(Record(source="broken.wav", status="error", error="broken.wav: got an empty file", **MADE_BY))
    pages = write(tmp_path, records)
    lists = ["index.html", "calls-2.html", "calls-3.html"]
    assert set(pages) == {*lists, *(f"calls/{i}.html" for i in range(1, 8))}
    assert {link for name in lists for link in links(pages[name]) if "calls/" in link} == set(pages) - set(lists)
    for here, following in zip(lists, [*lists[1:], None], strict=True):
        assert [link for link in links(pages[here]) if link.startswith("calls-")] == ([following] if following else [])


@pytest.mark.parametrize(("language", "told"), [("en", "could not be scored"), ("fr", "pas pu être noté")])
def test_a_wrong_channel_is_not_an_unreadable_file(tmp_path: Path, language: Language, told: str) -> None:
    """What is the matter with a recording that was not scored is said, and not that it could not be read."""
    error = "stereo.wav: got one channel, expected two; say --caller-channel mono"
    pages = write(tmp_path, [Record(source="stereo.wav", status="error", error=error, **MADE_BY)], language)
    for page in pages.values():
        assert told in Page(page).text
        assert error in Page(page).text
        assert not re.search("could not be read|illisible", page)


def test_a_long_call_does_not_outgrow_its_page(tmp_path: Path) -> None:
    """A long table scrolls within a region of bounded height, and says how many rows it leaves out."""
    rows = [
        TimelineRow(source="long.wav", kind="escalation", time_s=float(i), level="tense", drivers="F0 +9 %")
        for i in range(620)
    ]
    pages = write(tmp_path, [record("long.wav", duration_s=14_400.0)], long=rows)
    page = Page(pages["calls/1.html"])
    assert sum(tag == "tr" for tag, _ in page.elements) == 501
    assert "and 120 more" in page.text
    for html, title in ((pages["calls/1.html"], "changes"), (pages["index.html"], "all")):
        (region,) = [a for tag, a in Page(html).elements if tag == "div" and a.get("aria-labelledby") == title]
        assert "tall" in str(region["class"]).split()
        assert re.search(r"\.tall \{ max-height: \d+rem; overflow-y: auto", html)


@pytest.mark.parametrize(
    ("language", "flag"), [("en", "angry from the first word?"), ("fr", "en colère dès le premier")]
)
def test_a_caller_who_begins_angry_is_flagged(tmp_path: Path, language: Language, flag: str) -> None:
    """A call that reads calm against angry first seconds is flagged, explained, and worth a listen; others are not."""
    records = [record("calm.wav", angry_start=False, baseline_anger=0.1)]
    records.append(record("first.wav", angry_start=True, baseline_anger=0.381))
    pages = write(tmp_path, records, language)
    assert flag not in Page(pages["calls/1.html"]).text
    assert flag in Page(pages["calls/2.html"]).text
    assert ("0,38" if language == "fr" else "0.38") in Page(pages["calls/2.html"]).text
    assert Page(pages["index.html"]).text.count(flag) == 2
    assert links(pages["index.html"])[1] == "calls/2.html"


@pytest.mark.parametrize(
    ("link", "of_batch", "of_call"),
    [
        ("", None, None),
        ("https://a.example/{call}#t={start_s}", "https://a.example/C%20%261#t=3", "https://a.example/C%20%261#t=3"),
        ("../{source}", "../in/a%20b.wav", "../../in/a%20b.wav"),
        ("/recordings/{name}", "/recordings/a%20b.wav", "/recordings/a%20b.wav"),
    ],
)
def test_a_page_links_its_recording(tmp_path: Path, link: str, of_batch: str | None, of_call: str | None) -> None:
    """A policy's address or path leads to the recording; without one, or where it would hold a number, none does."""
    records = [record("in/a b.wav", call="C &1"), record(f"in/{CALLER}.wav", call=f"x-{CALLER}")]
    (tmp_path / "scores.jsonl").write_bytes(lines_of(records, ".jsonl"))
    list(write_report(tmp_path / "scores.jsonl", tmp_path / "report", recording_link=link))
    pages = {name: (tmp_path / "report" / name).read_text() for name in ("index.html", "calls/1.html", "calls/2.html")}
    assert set(links(pages["index.html"])) - {"#content", "calls/1.html", "calls/2.html"} == {of_batch} - {None}
    assert set(links(pages["calls/1.html"])) - {"#content", "../index.html"} == {of_call} - {None}
    assert set(links(pages["calls/2.html"])) == {"#content", "../index.html"}
    assert CALLER not in "".join(pages.values())
