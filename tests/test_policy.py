"""Policies: TOML in, one frozen and sound policy out, or an error that says where and how to mend it."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emotion_triage.errors import PolicyError
from emotion_triage.routing.contacts import Restriction, RestrictionKind
from emotion_triage.routing.escalation import EscalationPolicy, Level
from emotion_triage.routing.policy import Policy, policy_text
from emotion_triage.routing.protection import ProtectionPolicy, Retention
from emotion_triage.routing.reasons import explain
from emotion_triage.routing.rules import CASES, StandingState, Target

ROOT = Path(__file__).resolve().parents[1]
RULE = '[[rules]]\nname = "all"\n'
ROUTE = 'route = { queue = "general", priority = 50 }\n'


def as_toml(value: Any) -> str:
    """Write a value as inline TOML, which has JSON's strings, numbers and arrays."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {as_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(each) for each in value) + "]"
    return msgspec.json.encode(value).decode()


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same settings with the keys of every table in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], chance) for key in chance.sample(list(value), len(value))}
    return [shuffled(each, chance) for each in value] if isinstance(value, list) else value


def test_the_balanced_policy_is_sound() -> None:
    """The embedded policy loads and gives every case a rule."""
    policy = Policy.load()
    assert policy.name == "balanced"
    assert set(policy.router.table) == set(CASES)


def test_the_balanced_policy_sends_callers_where_a_centre_would() -> None:
    """The escalated reach seniors sooner, the restricted a supervisor, the protected prepared agents."""
    table = Policy.load().router.table
    everyday = table[Level.CALM, StandingState.CLEAR].route
    angry = table[Level.ESCALATED, StandingState.CLEAR].route
    assert everyday.queue == "general"
    assert angry.queue == "senior"
    assert "de-escalation" in angry.skills
    assert angry.priority > everyday.priority
    for level in Level:
        assert table[level, StandingState.RESTRICTED].route.queue == "supervisor"
        assert table[level, StandingState.PROTECTED].route.queue == "protected"


def test_objecting_costs_nothing_in_the_balanced_policy() -> None:
    """A caller who objects is served no later than the same caller unscored and calm."""
    policy = Policy.load()
    assert policy.neutral.priority >= policy.router.table[Level.CALM, StandingState.CLEAR].route.priority


def test_every_default_is_explained() -> None:
    """Each line of the balanced policy that sets a threshold has words about it on or above it."""
    settings = policy_text().partition("[escalation]")[2].partition("[[rules]]")[0]
    assert all(f"\n{name} = " in settings for name in EscalationPolicy.__struct_fields__)
    for line in settings.partition("[protection.texts.en]")[0].splitlines():
        assert not line or line.startswith(("#", "[", "tense_", "escalated_")) or "#" in line, line


def test_every_threshold_is_in_the_reference() -> None:
    """The reference of the policy names each threshold."""
    reference = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    tables = {"retention", "texts"}
    protection = {*ProtectionPolicy.__struct_fields__, *Retention.__struct_fields__} - tables
    for name in (*EscalationPolicy.__struct_fields__, *protection):
        assert f".{name}`" in reference, name


def test_the_printed_defaults_are_the_defaults() -> None:
    """What `policy_text` gives is itself a policy, equal to the one that is loaded without a path."""
    assert Policy.parse(policy_text()) == Policy.load()


def test_a_policy_of_one_key_keeps_the_rest() -> None:
    """A text that sets one key changes that key and nothing else."""
    default, policy = Policy.load(), Policy.parse('[notice.text]\nen = "Hello"')
    assert policy.notice.text.en == "Hello"
    assert policy.notice.text.fr == default.notice.text.fr
    assert msgspec.structs.replace(policy, notice=default.notice) == default


def test_rules_replace_the_default_rules_as_a_whole() -> None:
    """A text with one rule has one rule, with the default thresholds."""
    policy = Policy.parse(RULE + ROUTE)
    assert [rule.name for rule in policy.rules] == ["all"]
    assert policy.escalation == Policy.load().escalation


def test_a_target_is_one_of_four() -> None:
    """A destination may name its target; left out it is a queue, and spelling that out is the same policy."""
    assert {rule.route.target for rule in Policy.load().rules} == {Target.QUEUE}
    spelt_out = policy_text().replace(
        'queue = "supervisor", priority', 'queue = "supervisor", target = "queue", priority'
    )
    assert Policy.parse(spelt_out).digest == Policy.load().digest
    with pytest.raises(PolicyError, match=r"neutral.target is 'robot'; expected .*'voicebot'"):
        Policy.parse('[neutral]\ntarget = "robot"')


def test_an_integer_is_as_good_as_a_float() -> None:
    """`hold_s = 30` and `hold_s = 30.0` are one policy with one digest."""
    whole, point = Policy.parse("[escalation]\nhold_s = 30"), Policy.parse("[escalation]\nhold_s = 30.0")
    assert whole == point
    assert whole.digest == point.digest


@given(st.randoms(use_true_random=False))
def test_the_digest_ignores_how_a_policy_is_written(chance: random.Random) -> None:
    """Key order, comments, and a default spelled out or left out give one digest."""
    settings = shuffled(tomllib.loads(policy_text()), chance)
    settings["escalation"] = {key: each for key, each in settings["escalation"].items() if chance.random() < 0.5}
    text = "\n".join(f"{key} = {as_toml(each)}  # why" for key, each in settings.items())
    assert Policy.parse(text).digest == Policy.load().digest


def test_the_digest_ignores_the_order_of_conditions() -> None:
    """The levels of a rule are a set: their order, or all of them in place of none, changes nothing."""
    digests = {
        Policy.parse(RULE + when + ROUTE).digest
        for when in (
            "",
            'when = { level = ["calm", "tense", "escalated"] }\n',
            'when = { level = ["escalated", "calm", "tense", "calm"] }\n',
            'when = { standing = ["restricted", "protected", "watch", "clear"] }\n',
        )
    }
    assert len(digests) == 1


def test_the_digest_is_the_same_in_every_process() -> None:
    """The digest does not depend on Python's hash seed."""
    code = "from emotion_triage.routing.policy import Policy; print(Policy.load().digest)"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert digests == {Policy.load().digest}


@pytest.mark.parametrize(
    "text",
    [
        'name = "ours"',
        "[escalation]\nhold_s = 21",
        '[notice]\nmode = "required"',
        "[neutral]\npriority = 51",
        '[neutral]\nskills = ["patience"]',
        RULE + ROUTE,
    ],
)
def test_the_digest_follows_every_setting(text: str) -> None:
    """A policy that differs in one setting has another digest."""
    assert Policy.parse(text).digest != Policy.load().digest


def test_the_digest_keeps_the_order_of_rules_and_skills() -> None:
    """Rules and skills are in order of preference, so their order counts."""
    skills = [Policy.parse(f"[neutral]\nskills = {each}").digest for each in ('["a", "b"]', '["b", "a"]')]
    assert skills[0] != skills[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[escalation]\nescalated_onsett = 0.6",
            "unknown key escalation.escalated_onsett (did you mean escalated_onset?)",
        ),
        ("hold_s = 3", "unknown key hold_s (did you mean escalation.hold_s?)"),
        (
            "zzz = 3",
            "unknown key zzz (known here: schema, name, notice, escalation, routing, protection, suggestions, "
            "supervision, report, rules, neutral)",
        ),
        (
            "[notices]\n[escalation]\nhold = 3",
            "unknown key escalation.hold (did you mean hold_s?); unknown key notices (did you mean notice?)",
        ),
        (
            RULE + 'level = ["calm"]\n' + ROUTE,
            "unknown key rules['all'].level (did you mean rules[].when.level?)",
        ),
        (
            RULE + 'route = { queue = "general", prioritty = 50 }',
            "unknown key rules['all'].route.prioritty (did you mean priority?)",
        ),
        ("[[rules]]\n" + ROUTE, "missing key rules[0].name"),
        (RULE + 'route = { queue = "general" }', "missing key rules['all'].route.priority"),
        (
            RULE + 'route = { queue = "general", priority = 101 }',
            "rules['all'].route.priority is 101; expected integer <= 100",
        ),
        (
            RULE + 'when = { level = ["calm", "angry"] }\n' + ROUTE,
            "rules['all'].when.level[1] is 'angry'; expected 'calm' or 'escalated' or 'tense'",
        ),
        (
            RULE + 'when = { standing = ["blocked"] }\n' + ROUTE,
            "rules['all'].when.standing[0] is 'blocked'; expected 'clear' or 'watch' or 'protected' or 'restricted'",
        ),
        (
            RULE + "when = { standing = [] }\n" + ROUTE,
            "rules['all'].when.standing is []; expected array of length >= 1",
        ),
        ("rules = 3", "rules is 3; expected array"),
        ("rules = [3]", "rules[0] is 3; expected table"),
        ("notice = true", "notice is True; expected table"),
        ('[notice]\nmode = "maybe"', "notice.mode is 'maybe'; expected 'assumed' or 'required'"),
        ('[notice.text]\nfr = ""', "notice.text.fr is ''; expected string of length >= 1"),
        ("schema = 2", "schema is 2; expected 1"),
        ('[escalation]\nhold_s = "20"', "escalation.hold_s is '20'; expected number"),
        ("[escalation]\ntense_onset = 1.5", "escalation.tense_onset is 1.5; expected number <= 1.0"),
        ("[escalation]\ntense_onset = nan", "escalation.tense_onset is nan; expected number >= 0.0"),
        ('[neutral]\nskills = "patience"', "neutral.skills is 'patience'; expected array"),
        ("[neutral]\npriority = 1.5", "neutral.priority is 1.5; expected integer"),
        (
            "[neutral]\npriority = 49",
            "neutral.priority is 49 and a calm caller has 50 ('everyday call'); objecting costs the caller nothing: "
            "give the neutral route as much or more",
        ),
        (
            '[neutral]\ntarget = "voicebot"',
            "neutral.target is 'voicebot' and a calm caller goes to a queue ('everyday call'); objecting costs the "
            "caller nothing: give the neutral route a queue or a supervisor",
        ),
        (
            '[report]\nrecording_link = "javascript:alert(1)"',
            "report.recording_link is 'javascript:alert(1)'; expected http://, https:// or file:// and an address, or "
            "a path, without blanks",
        ),
        (
            '[report]\nrecording_link = "https://a.example/{caller}"',
            "report.recording_link names {caller}; expected {source}, {name}, {call}, {start_s}",
        ),
        (
            "[protection]\nsurvey_scale = [5, 1]",
            "protection.survey_scale is [5, 1]; expected the lowest answer, then the highest",
        ),
        ("a = 1\nb = = 2", "not TOML: Invalid value (at line 2, column 5)"),
        (
            "[escalation]\ntense_offset = 0.33\ntense_onset = 0.33",
            "escalation.tense_offset is 0.33 and escalation.tense_onset is 0.33; expected tense_offset < tense_onset",
        ),
        (
            RULE + ROUTE + RULE.replace("all", "more") + ROUTE,
            "rules: 'more' can never match: its cases are all taken by 'all'; move a shadowed rule up, or remove it",
        ),
    ],
)
def test_a_bad_policy_says_where_it_is_wrong(text: str, message: str) -> None:
    """Each fault of a policy is refused with its path, what was got and what was expected."""
    with pytest.raises(PolicyError) as caught:
        Policy.parse(text, source="policy.toml")
    assert str(caught.value) == f"policy.toml: {message}"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("tense_offset", "tense_onset"),
        ("escalated_offset", "escalated_onset"),
        ("tense_onset", "escalated_onset"),
        ("tense_offset", "escalated_offset"),
    ],
)
def test_crossed_thresholds_are_refused(low: str, high: str) -> None:
    """An offset at its onset, or a higher level below a lower one, is refused by name."""
    apart = {"tense_offset": 0.2, "tense_onset": 0.4, "escalated_offset": 0.6, "escalated_onset": 0.8}
    sound = "\n".join(f"{key} = {each}" for key, each in apart.items())
    Policy.parse(f"[escalation]\n{sound}")
    crossed = "\n".join(f"{key} = {each}" for key, each in (apart | {low: apart[high]}).items())
    with pytest.raises(PolicyError, match=f"expected {low} < {high}"):
        Policy.parse(f"[escalation]\n{crossed}")


def test_a_policy_file_is_read(tmp_path: Path) -> None:
    """A file gives what its text gives, even with the byte-order mark that some editors add."""
    path = tmp_path / "policy.toml"
    path.write_text('name = "é"', encoding="utf-8-sig")
    assert Policy.load(path) == Policy.load(str(path)) == Policy.parse('name = "é"')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, a folder and a file that is not UTF-8 are refused with their path."""
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(PolicyError, match=r"absent\.toml: cannot be read \(No such file or directory\)"):
        Policy.load(tmp_path / "absent.toml")
    with pytest.raises(PolicyError, match="cannot be read"):
        Policy.load(tmp_path)
    with pytest.raises(PolicyError, match=r"latin\.toml: not UTF-8"):
        Policy.load(latin)


def test_a_policy_made_in_python_is_checked_too() -> None:
    """Changing a policy's rules in code raises what its file would raise."""
    policy = Policy.load()
    with pytest.raises(PolicyError, match="no rule takes"):
        msgspec.structs.replace(policy, rules=policy.rules[:-1])


def test_a_policy_pickles() -> None:
    """A pickled policy is equal to the first, with its digest."""
    policy = Policy.load()
    again = pickle.loads(pickle.dumps(policy))
    assert again == policy
    assert again.digest == policy.digest


def test_an_explanation_of_a_policy_covers_its_rules() -> None:
    """Each rule of a policy has its verdict, in order, in either language."""
    policy = Policy.load()
    for level, state in CASES:
        for language in ("en", "fr"):
            verdicts = explain(policy.router, level, state, language)
            assert [verdict.rule for verdict in verdicts] == [rule.name for rule in policy.rules]


def test_watched_comes_before_protected() -> None:
    """A policy that protects a caller before it watches him is refused."""
    with pytest.raises(PolicyError, match="expected watch_after <= protected_after"):
        Policy.parse("[protection]\nwatch_after = 4")


def test_decisions_are_kept_for_six_months_at_least() -> None:
    """Retention of the decision log has a floor of 183 days."""
    with pytest.raises(PolicyError, match=r"protection\.retention\.decisions_days is 182; expected"):
        Policy.parse("[protection.retention]\ndecisions_days = 182")


@pytest.mark.parametrize("kind", RestrictionKind)
def test_each_restriction_has_a_notice(kind: RestrictionKind) -> None:
    """Whatever the restriction, the caller is told until when and how to appeal, in French and in English."""
    until = datetime(2026, 6, 1, tzinfo=UTC)
    restriction = Restriction(kind=kind, decided_by="d", reason="r", until=until, review_at=until)
    protection = Policy.load().protection
    french, english = protection.notice(restriction, "fr"), protection.notice(restriction, "en")
    assert "2026-06-01" in french
    assert "2026-06-01" in english
    assert french.endswith(protection.texts.fr.appeal)
    assert english.endswith(protection.texts.en.appeal)
