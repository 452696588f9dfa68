"""The program `glissade`."""

from __future__ import annotations

import io
import sys


def main() -> None:
    """Run the command line; it needs the extra `study`, which the core does without."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Greek
    try:
        from .commands import application
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        print("the command line needs `pip install 'glissade[study]'`", file=sys.stderr)
        raise SystemExit(1) from None
    application()()


if __name__ == "__main__":
    main()
