"""`sendoff doctor`: looks at everything that the service needs on this machine, and says what is wrong and what helps.

Exit codes: 0 without faults (there may be warnings), 78 with faults that `serve` would refuse to start with as faults
of the configuration or the address, 1 with other faults.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from pipeline.cli.files import add_files, variables
from pipeline.doctor.findings import Finding, Level, fault
from pipeline.errors import ConfigurationError

EXIT_FAULT = 1
EXIT_CONFIGURATION = 78


def register(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="say whether this machine can run the service",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_files(parser)
    parser.add_argument("--host", help="the address to bind")
    parser.add_argument("--port", type=int, help="the port to bind")
    parser.add_argument("--store", metavar="URL", help="the store, such as sqlite:///data/sendoff.db")
    parser.add_argument("--insecure", action="store_true", help="any address may be bound, as with serve --insecure")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what each check finds; return the exit code."""
    findings = []
    for finding in _findings(args):
        findings.append(finding)
        if not args.json:
            print(_lines(finding), flush=True)
    counts = Counter(finding.level for finding in findings)
    if args.json:
        print(_as_json(findings, counts))
    else:
        print(f"faults: {counts[Level.FAULT]}, warnings: {counts[Level.WARNING]}")
    if any(finding.is_configuration for finding in findings):
        return EXIT_CONFIGURATION
    return EXIT_FAULT if counts[Level.FAULT] else 0


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        from pipeline.clock import SystemClock  # noqa: PLC0415 - other commands need not load all this
        from pipeline.config import Overrides  # noqa: PLC0415
        from pipeline.doctor.examination import Patient, examine  # noqa: PLC0415
    except ImportError as error:
        remedy = "install the locked dependencies again (requirements.lock)"
        yield fault("libraries", f"what nothing works without cannot be imported: {error}", remedy)
        return
    try:
        environ = variables(args)
    except ConfigurationError as error:
        for one in error.faults:
            yield fault("configuration", str(one), "mend the file that --env-file names", is_configuration=True)
        return
    patient = Patient(
        path=args.config,
        environ=environ,
        cwd=Path.cwd(),
        overrides=Overrides(host=args.host, port=args.port, store=args.store),
        is_insecure=args.insecure,
    )
    yield from examine(patient, SystemClock())


def _lines(finding: Finding) -> str:
    line = f"{finding.level:<8} {finding.name:<16} {finding.found}"
    return f"{line}\n{'':25} remedy: {finding.remedy}" if finding.remedy else line


def _as_json(findings: Iterable[Finding], counts: Counter[Level]) -> str:
    checks = [{"level": one.level, "name": one.name, "found": one.found, "remedy": one.remedy} for one in findings]
    whole = {"checks": checks, "faults": counts[Level.FAULT], "warnings": counts[Level.WARNING]}
    return orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode()
