"""`sendoff key`: makes keys. It only prints them: what it prints for the YAML is for its reader to put there."""

import argparse
import re
import sys

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SCOPES = ("invoke", "read", "admin")


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `key new` and `key link` to the command line."""
    parser = subparsers.add_parser(
        "key", help="make a key to the service, or one that signs links", description=__doc__
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    new = kinds.add_parser("new", help="print a new key, and its entry for the YAML")
    new.add_argument("--name", default="caller", type=_name, help="whose it is (default: caller)")
    new.add_argument(
        "--scopes", nargs="+", action="extend", metavar="SCOPE", type=_scopes,
        help="what it may do: invoke, read, admin (default: invoke)",
    )  # fmt: skip
    new.add_argument(
        "--functions", nargs="+", action="extend", metavar="NAME", type=_names, help="what it may invoke (default: all)"
    )
    new.add_argument("--expires", metavar="MOMENT", type=_moment, help="such as 2027-01-31T00:00:00Z (default: never)")
    new.set_defaults(run=run)
    link = kinds.add_parser("link", help="print a new key that signs links, for service.link_keys")
    link.set_defaults(run=run_link)


def run(args: argparse.Namespace) -> int:
    """Print a key and its entry; always return 0."""
    from pipeline.keys import digest, new_key  # noqa: PLC0415 - other commands need none

    key = new_key()
    entry = [
        f"name: {_as_yaml(args.name)}",
        f'sha256: "{digest(key)}"',
        f"scopes: [{_listed(args.scopes) or 'invoke'}]",
    ]
    entry += [f"functions: [{_listed(args.functions)}]"] if args.functions else []
    entry += [f'expires: "{args.expires}"'] if args.expires else []
    if sys.stderr.isatty():
        print("The key, which is shown only this once, and its entry in sendoff.yaml:", file=sys.stderr)
    print(f"{key}\n\nkeys:\n  - {{{', '.join(entry)}}}")
    return 0


def run_link(_: argparse.Namespace) -> int:
    """Print a key that signs links; always return 0."""
    from pipeline.keys import new_link_key  # noqa: PLC0415 - other commands need none

    print(new_link_key())
    return 0


def _listed(given: list[list[str]] | None) -> str:
    return ", ".join(dict.fromkeys(_as_yaml(word) for words in given or [] for word in words))


def _as_yaml(name: str) -> str:
    is_plain = name[0].isalpha() and name.lower() not in {"null", "true", "false"}
    return name if is_plain else f'"{name}"'  # else it might be a number


def _name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"expected 1 to 64 letters, digits, _ and -, got {text!r}")
    return text


def _names(text: str) -> list[str]:
    return [_name(word) for word in text.split(",") if word]


def _scopes(text: str) -> list[str]:
    words = [word for word in text.split(",") if word]
    if unknown := [word for word in words if word not in SCOPES]:
        raise argparse.ArgumentTypeError(f"expected {', '.join(SCOPES)}, got {unknown[0]!r}")
    return words


def _moment(text: str) -> str:
    from pipeline.config.units import moment  # noqa: PLC0415 - other commands need none

    try:
        return moment(text).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a moment such as 2027-01-31T00:00:00Z, got {text!r}") from None
