"""The command line: `nas`. One line for a user's mistake, tables or JSON on stdout, progress on stderr."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process. SIGTERM, by which schedulers end things, is as Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code: 0, 1 for a failed run, 2 for a user's mistake, 130 for Ctrl-C."""
    from typer import Abort
    from typer.main import get_command

    from nas.cli.app import app
    from nas.errors import NasError, StoppedError

    try:
        code = get_command(app).main(list(arguments), prog_name="nas", standalone_mode=False)
    except NasError as error:
        if "--debug" in arguments:
            raise
        return _complain(str(error), error.exit_code)
    except (KeyboardInterrupt, Abort):
        return INTERRUPTED
    except StoppedError:
        print("stopped, as `nas stop` asked. The same command goes on from here.", file=sys.stderr)
        return 0
    except Exception as error:
        if "--debug" not in arguments and (fault := _database_fault(error)):
            return _complain(fault, NasError.exit_code)
        # Usage errors: typer carries their base class inside itself and exports only some of its children.
        if not hasattr(error, "format_message"):
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # `nas` alone; the message is the help
            print(error.format_message(), file=sys.stderr)
            return error.exit_code  # type: ignore[attr-defined, no-any-return]
        return _complain(error.format_message(), error.exit_code)  # type: ignore[attr-defined]
    return code if isinstance(code, int) else 0


def _database_fault(error: Exception) -> str | None:
    """Return what a database failed with, in a line; None for other errors."""
    if "sqlalchemy" not in sys.modules:  # slow to import, and nothing of it went wrong
        return None
    from nas.search.faults import in_one_line

    return in_one_line(error)


def _complain(message: str, exit_code: int) -> int:
    print("nas:", " ".join(message.split()), file=sys.stderr)
    return exit_code
