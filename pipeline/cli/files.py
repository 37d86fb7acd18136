"""The options that say where a command's configuration is: the YAML file, and a file of variables."""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--env-file`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="the YAML file (default: sendoff.yaml, if there)")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="variables for ${NAME} in the YAML; those of the environment win"
    )


def variables(args: argparse.Namespace) -> Mapping[str, str]:
    """Return the variables that the configuration may name; raises ConfigurationError for a bad `--env-file`.

    The file's do not become part of this process's environment, and so of no function's.
    """
    if args.env_file is None:
        return os.environ
    from pipeline.config.env_file import read_env_file  # noqa: PLC0415 - only where there is one

    return {**read_env_file(args.env_file, str(args.env_file)), **os.environ}
