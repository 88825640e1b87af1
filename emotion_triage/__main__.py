"""The front door of the command line: ``emotion-triage`` and ``python -m emotion_triage``."""

from __future__ import annotations

import sys

from emotion_triage.errors import MissingExtraError


def main() -> None:
    """Run the command line, or say what it lacks."""
    try:
        from emotion_triage.cli.app import app
        from emotion_triage.cli.output import writable_output
    except MissingExtraError as error:
        sys.exit(f"emotion-triage: {error}")
    with writable_output():
        app()


if __name__ == "__main__":
    main()
