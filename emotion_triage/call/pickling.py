"""What is pickled carries the version that pickled it, and another version refuses it before it reads any of it."""

from __future__ import annotations

from typing import TypeVar

from emotion_triage.errors import TriageError

__all__ = ["STAMP", "Stamp", "unpickled"]

Kind = TypeVar("Kind")


class Stamp:
    """Stands before an object's state in a pickle, so that it is looked at first."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import emotion_triage

        return checked, (emotion_triage.__version__,)


STAMP = Stamp()


def checked(version: str) -> Stamp:
    """Return the stamp that stands before what this version pickled.

    Raises
    ------
    TriageError
        If another version pickled it.
    """
    import emotion_triage

    if version != emotion_triage.__version__:
        raise TriageError(
            f"got what emotion-triage {version} pickled, expected {emotion_triage.__version__}; let calls end before "
            "the library is replaced, or pickle them again with this version"
        )
    return STAMP


def unpickled(stamp: Stamp, kind: type[Kind], *parts: object) -> Kind:
    """Return an object made of its parts; without any, one whose state follows."""
    return kind(*parts) if parts else kind.__new__(kind)
