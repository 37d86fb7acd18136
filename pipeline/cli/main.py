"""The `sendoff` command: finds the subcommand, runs it, and turns what stops it into an exit code.

Exit codes: 0 done, 1 the job or request failed, 2 wrong usage, 70 the store cannot be used, 78 configuration fault,
130 interrupted.
"""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, Protocol, cast

from pipeline import __version__
from pipeline.cli.failures import CommandError
from pipeline.errors import ConfigurationError, StoreError

EXIT_STORE = 70
EXIT_CONFIGURATION = 78
EXIT_INTERRUPTED = 130

COMMANDS = (
    "serve", "check", "doctor", "backup", "key", "secret", "webhook", "listen",
    "invoke", "batch", "wait", "job", "logs", "result", "cancel", "retry", "replay",
    "jobs", "batches", "deliveries", "destinations", "replays", "explain", "usage",
)  # fmt: skip
"""The commands, in the order of the help; each is the module of its name in `commands`."""

_LACKING = re.compile(r"argument (\S+): expected one argument")
_SPAN = re.compile(r"[0-9]+(\.[0-9]+)?(ms|s|m|h|d)")  # the configuration's own needs libraries, which may be broken


class Command(Protocol):
    """What the module of a command offers."""

    def register(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the command's own parser, with `run` as its default of that name."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do it, and return the exit code; may raise ConfigurationError, StoreError and CommandError."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (`sys.argv` for None) and return the exit code; wrong usage raises SystemExit(2)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    # One that is named is all that is loaded: most of them need little of what the others do.
    named = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    args: Any = _parser(named).parse_args(arguments)
    try:
        return int(args.run(args))
    except CommandError as error:
        print(error.lines(), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Who reads has read enough, as `| head` does; what is still in the buffer must not be a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ConfigurationError as error:
        print(*error.faults, sep="\n", file=sys.stderr)
        return EXIT_CONFIGURATION
    except StoreError as error:
        print(f"sendoff: {error}", file=sys.stderr)
        return EXIT_STORE


class _Intermixed(argparse.ArgumentParser):
    """Takes options anywhere: `batch NAME --new FILE FILE`, too, which argparse by itself does not. For what it does
    not know it shows its own usage, in the place of the one of all commands.
    """

    _is_inside = False
    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        self._is_inside = True
        self._given = args or ()
        try:
            # argparse cannot mix where commands have commands
            parse = super().parse_known_args if self._subparsers is not None else self.parse_known_intermixed_args
            found, unknown = parse(args, namespace)
        finally:
            self._is_inside = False
        if unknown:
            # Behind an option that it does not know argparse understands nothing any more.
            options = [argument for argument in unknown if argument.startswith("-")]
            self.error(f"unrecognized arguments: {' '.join(options or unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        super().error(self._of_value(message) or message)

    def _of_value(self, message: str) -> str | None:
        """Return what to say where the value of an option is taken for another option, as `-1h` is."""
        if (lacking := _LACKING.fullmatch(message)) is None:
            return None
        for option, value in zip(self._given, self._given[1:], strict=False):
            if option in lacking[1].split("/") and value[:1] == "-" and value not in self._option_string_actions:
                said = f"argument {lacking[1]}: expected a value, got {value!r}"
                if _SPAN.fullmatch(value[1:]):
                    return f"{said}: leave out the minus, as in {option} {value[1:]}"
                return f"{said}, which stands for an option: write {option}={value}"
        return None


def _parser(commands: Iterable[str] = COMMANDS) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sendoff", description="Runs functions and gives their background results a proper send-off."
    )
    parser.add_argument("--version", action="version", version=f"sendoff {__version__}")
    subparsers: Any = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Intermixed)
    for name in commands:
        _command(name).register(subparsers)
    return parser


def _command(name: str) -> Command:
    try:
        return cast(Command, importlib.import_module(f"pipeline.cli.commands.{name}"))
    except ImportError as error:
        # A library is missing or broken: the other commands work on, and `doctor` says what helps.
        return _Broken(name, error)


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
