"""The supervisors' list of calls: who needs help first, what changed since a page was shown it, what it announces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jinja2

from emotion_triage.routing.escalation import Level
from emotion_triage.server.schemas import CallView
from emotion_triage.server.words import words
from emotion_triage.texts import Language

__all__ = ["Listed", "Shown", "head_of", "in_order", "listed", "matching"]

MAX_NEEDING = 8
"""Calls that need someone now and are named above the list; the list has them all."""


class Listed(NamedTuple):
    """The calls as every page shows them now: what stands above the list, and each call's row, in order."""

    calls: list[CallView]
    head: str
    rows: dict[str, str]


def in_order(calls: Iterable[CallView]) -> list[CallView]:
    """Return the calls, first those that need help: an agent asks, then the level, and what nobody has seen yet.

    Within them the one that has waited longest comes first.
    """

    def key(call: CallView) -> tuple[Any, ...]:
        level = Level[(call.level or "calm").upper()]
        since = call.help_since or call.level_since
        return call.help_since is None, -level, not call.calls_for_help, since, call.call_id

    return sorted(calls, key=key)


def matching(calls: Iterable[CallView], query: Mapping[str, str]) -> list[CallView]:
    """Return the calls that a search asks for: by `level`, by `queue`, and by text anywhere (`q`)."""
    text, level, queue = (query.get(name, "").strip() for name in ("q", "level", "queue"))

    def wanted(call: CallView) -> bool:
        said = " ".join(filter(None, (call.call_id, call.caller_name, call.alias, call.agent_id, call.queue)))
        return (
            text.lower() in said.lower()
            and (not queue or call.queue == queue)
            and (not level or (call.calls_for_help if level == "need" else call.level == level))
        )

    return [call for call in calls if wanted(call)]


def head_of(calls: Sequence[CallView]) -> dict[str, Any]:
    """Return what stands above the list: counts by level, and who needs someone now."""
    needing = [call for call in calls if call.calls_for_help]
    return {
        "counts": Counter(call.level or "not_scored" for call in calls),
        "needing": needing[:MAX_NEEDING],
        "needs": len(needing),
    }


def listed(
    templates: jinja2.Environment, calls: Iterable[CallView], language: Language, *, stage: str, **fields: Any
) -> Listed:
    """Return the calls as pages show them; lengths of time are left to the page, so that a row changes rarely."""
    ordered = in_order(calls)
    context = {"language": language, "t": words(language), "now": None, "stage": stage, **fields}
    module: Any = templates.get_template("_row.html").make_module(context)
    head = templates.get_template("_head.html").render(context | head_of(ordered))
    return Listed(ordered, head, {call.call_id: str(module.row(call)) for call in ordered})


class Shown:
    """What one page has been shown, so that it is sent what changed and nothing else."""

    def __init__(self) -> None:
        self._head = ""
        self._rows: dict[str, str] | None = None
        self._states: dict[str, tuple[str | None, bool]] = {}

    def changes(self, now: Listed, language: Language) -> dict[str, Any] | None:
        """Return what a page has to be sent; None where nothing changed.

        Returns
        -------
        dict or None
            ``now``: the server's clock. ``head``: what stands above the list, where it changed. ``rows``: pairs of a
            call's name and its row, where that changed. ``order``: the names of all calls. ``say``: what a screen
            reader should say. ``alerts``: what to alert about, each with the call's name and a text without names.
        """
        before = self._rows or {}
        changed = [[call_id, html] for call_id, html in now.rows.items() if before.get(call_id) != html]
        said, alerts = self._news(now.calls, language)
        if self._rows is not None and not (changed or said or now.head != self._head or list(before) != list(now.rows)):
            return None
        message: dict[str, Any] = {
            "now": datetime.now(UTC),
            "rows": changed,
            "order": list(now.rows),
            "say": ". ".join(said),
            "alerts": alerts,
        }
        if now.head != self._head:
            message["head"] = now.head
        self._head, self._rows = now.head, now.rows
        return message

    def _news(self, calls: Sequence[CallView], language: Language) -> tuple[list[str], list[dict[str, str]]]:
        t, said, alerts = words(language), [], []
        for call in calls:
            state = call.level, call.help_since is not None
            level, helped = self._states.get(call.call_id, (None, False) if self._rows is not None else state)
            about = call.queue or t["call"].lower()
            if call.level and level is not None and level != call.level:
                said.append(f"{call.call_id}: {t[call.level]}")
            if call.calls_for_help and call.level == "escalated" and level != "escalated":
                alerts.append({"id": call.call_id, "text": f"{t['alert_escalated']}: {about}"})
            if call.calls_for_help and call.help_since is not None and not helped:
                said.append(f"{call.call_id}: {t['asks_for_help']}")
                alerts.append({"id": call.call_id, "text": f"{t['alert_help']}: {about}"})
        self._states = {call.call_id: (call.level, call.help_since is not None) for call in calls}
        return said, alerts
