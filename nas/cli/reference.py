"""CLI.md: every command with its arguments and options, written from the commands themselves.

`python -m nas.cli.reference > CLI.md` writes the file; a test holds that it is up to date.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from nas.cli.app import app

INTRODUCTION = """\
# Command line

Written by `python -m nas.cli.reference > CLI.md`; do not edit.

Results go to stdout, progress and errors to stderr. A mistake of the user's is one line that starts with `nas:`.
Exit codes: 0 done, 1 the run failed, 2 the input cannot be used (nothing was written), 130 stopped by Ctrl-C (the
study is whole; the same command goes on)."""


def reference() -> str:
    """Return the text of CLI.md."""
    return "\n\n".join((INTRODUCTION, *_sections(get_command(app), "nas"))) + "\n"


def _sections(command: Any, path: str) -> Iterator[str]:
    """Yield the section of a command, then those of its subcommands."""
    arguments = [parameter for parameter in command.params if isinstance(parameter, TyperArgument)]
    options = [each for each in command.params if isinstance(each, TyperOption) and not each.hidden]
    inner = command.commands if isinstance(command, TyperGroup) else {}
    usage = [path, *["[OPTIONS]"] * bool(options), *(_name(each) for each in arguments), *["COMMAND …"] * bool(inner)]
    yield f"## `{path}`\n\n{command.help}\n\n    {' '.join(usage)}"
    lines = [f"- `{_name(each)}`: {_words(each)}" for each in arguments]
    lines += [f"- `{_name(each)}`: {_words(each)}" for each in options]
    if lines:
        yield "\n".join(lines)
    for name, each in inner.items():
        yield from _sections(each, f"{path} {name}")


def _name(parameter: TyperArgument | TyperOption) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar)
    return " ".join((*parameter.opts, *filter(None, [parameter.metavar])))


def _words(parameter: TyperArgument | TyperOption) -> str:
    """Return the help with the default, unless the help says what it follows from."""
    default = f" [default: {parameter.default}]" if parameter.default not in {None, False} else ""
    return f"{parameter.help}{default}"


if __name__ == "__main__":
    print(reference(), end="")
