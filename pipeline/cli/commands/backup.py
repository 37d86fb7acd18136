"""`sendoff backup`: writes a copy of the store, whether a service runs on it or not."""

import argparse
import sys
from pathlib import Path

from pipeline.cli.files import add_files, variables


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `backup` to the command line."""
    parser = subparsers.add_parser("backup", help="write a copy of the store", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write the copy; must not be there yet")
    parser.add_argument("--store", metavar="URL", help="the store, such as sqlite:///data/sendoff.db")
    add_files(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the copy and return 0, or 1 where the target is there already; StoreError where the store is no good."""
    from destinations.registry import all_kinds  # noqa: PLC0415 - other commands need not load all this
    from pipeline.config import Overrides, load_config  # noqa: PLC0415
    from pipeline.store.engine.backup import back_up  # noqa: PLC0415

    overrides = Overrides(host=None, port=None, store=args.store)
    config = load_config(
        args.config, environ=variables(args), kinds=all_kinds().by_type, cwd=Path.cwd(), overrides=overrides
    )
    try:
        back_up(config.store, args.file)
    except FileExistsError as error:
        print(f"sendoff: {error}", file=sys.stderr)
        return 1
    print(f"{args.file}: {args.file.stat().st_size} bytes")
    return 0
