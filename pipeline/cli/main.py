"""The `sendoff` command: finds the subcommand, runs it, and turns what stops it into an exit code.

Exit codes: 0 done, 1 the job or request failed, 2 wrong usage, 70 the store cannot be used, 78 configuration fault.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, Protocol, cast

from pipeline import __version__
from pipeline.errors import ConfigurationError, StoreError

EXIT_STORE = 70
EXIT_CONFIGURATION = 78

COMMANDS = ("pipeline.cli.serve", "pipeline.cli.check", "pipeline.cli.doctor", "pipeline.cli.backup")
"""The modules of the commands, in the order of the help."""


class Command(Protocol):
    """What the module of a command offers; it imports what is heavy only in `run`."""

    def register(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the command's own parser, with `run` as its default of that name."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it, and return the exit code; may raise ConfigurationError and StoreError."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` for None) and return the exit code; wrong usage raises SystemExit(2)."""
    args: Any = _parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except ConfigurationError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return EXIT_CONFIGURATION
    except StoreError as error:
        print(f"sendoff: {error}", file=sys.stderr)
        return EXIT_STORE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sendoff", description="Runs functions and gives their background results a proper send-off."
    )
    parser.add_argument("--version", action="version", version=f"sendoff {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        _command(name).register(subparsers)
    return parser


def _command(module: str) -> Command:
    try:
        return cast(Command, importlib.import_module(module))
    except ImportError as error:
        # A library is missing or broken: the other commands work on, and `doctor` says what helps.
        return _Broken(module.rpartition(".")[2], error)


class _Broken:
    """Stands for a command that cannot be imported."""

    def __init__(self, name: str, error: ImportError) -> None:
        self._name = name
        self._error = error

    def register(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        # No character begins an option, so that whatever follows is taken.
        parser = subparsers.add_parser(self._name, help="cannot be run", add_help=False, prefix_chars="\0")
        parser.add_argument("rest", nargs="*")
        parser.set_defaults(run=self.run)

    def run(self, _: argparse.Namespace) -> int:
        print(f"sendoff: {self._name} cannot be run: {self._error}; ask `sendoff doctor`", file=sys.stderr)
        return 1
