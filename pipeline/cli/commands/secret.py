"""`sendoff secret`: makes secrets that sign webhooks. It only prints them; they belong into the environment of the
service, which the YAML names, and to the receiver.
"""

import argparse
import sys


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `secret new` to the command line."""
    parser = subparsers.add_parser("secret", help="make a secret that signs webhooks", description=__doc__)
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    new = kinds.add_parser("new", help="print a new secret, for the secrets of a webhook")
    new.add_argument(
        "--asymmetric", action="store_true", help="a pair: whsk_, the secret that signs, and whpk_ for receivers"
    )
    new.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a secret, and in a second line its public key if it has one; always return 0."""
    from destinations.signing.keys import new_secret  # noqa: PLC0415 - other commands need none

    lines: tuple[str, ...] = (new_secret(),)
    if args.asymmetric:
        from destinations.signing.ed25519 import new_pair  # noqa: PLC0415 - likewise

        lines = new_pair()
    if sys.stderr.isatty():
        public = ", and its public key for receivers" if args.asymmetric else ""
        print(f"The secret, which is shown only this once{public}:", file=sys.stderr)
    print(*lines, sep="\n")
    return 0
