"""The levels of log lines: those that come through Python's logging have theirs, whoever configured it."""

from pathlib import Path

import pytest

from pipeline.model import RunOutcome
from tests.support.pools import call, pool_of, run_one


def logged(outcome: RunOutcome) -> list[tuple[str, str | None, str]]:
    """Return stream, level and text of each line."""
    assert outcome.error is None, outcome.error
    return [(stream, level, text) for _, stream, level, text in outcome.output.lines]


async def test_without_configuration_info_shows_and_each_line_has_its_level(tmp_path: Path) -> None:
    source = """
        import logging
        log = logging.getLogger("mine")
        def handler(event, context):
            print("printed")
            log.debug("not shown")
            log.info("two\\nlines")
            log.log(35, "between")
            log.critical("the end")
        """
    outcome = await run_one(tmp_path, source)
    assert logged(outcome)[0] == ("stdout", None, "printed")
    assert logged(outcome)[1:] == [
        ("stderr", "info", "two"),
        ("stderr", "info", "lines"),
        ("stderr", "warning", "between"),
        ("stderr", "critical", "the end"),
    ]


async def test_each_line_of_a_traceback_has_the_level_of_its_record(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            import logging
            try:
                1 / 0
            except ZeroDivisionError:
                logging.getLogger().exception("it broke")
        """
    lines = logged(await run_one(tmp_path, source))
    assert lines[0] == ("stderr", "error", "it broke")
    assert lines[-1] == ("stderr", "error", "ZeroDivisionError: division by zero")
    assert {level for _, level, _ in lines} == {"error"}
    assert len(lines) > 3


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("logging.basicConfig(level='DEBUG', format='%(name)s|%(message)s')", ["debug root|one", "info root|two"]),
        ("logging.basicConfig(level='INFO', stream=sys.stdout)", ["info INFO:root:two"]),
        ("logging.basicConfig(level='WARNING')", []),
        ("logging.getLogger().setLevel('DEBUG')", ["debug DEBUG:root:one", "info INFO:root:two"]),
        ("logging.getLogger().addHandler(logging.FileHandler('own.log'))", []),
        ("logging.getLogger().addHandler(Shout(sys.stdout))", ["info > TWO!"]),
        ("logging.getLogger().addHandler(logging.NullHandler())", []),
    ],
)  # fmt: skip
async def test_the_function_s_own_configuration_holds(tmp_path: Path, configuration: str, expected: list[str]) -> None:
    source = f"""
        import logging, sys
        class Shout(logging.StreamHandler):
            terminator = "!\\n"
            def format(self, record):
                return "> " + super().format(record).upper()
        {configuration}
        def handler(event, context):
            logging.debug("one")
            logging.info("two")
        """
    lines = logged(await run_one(tmp_path, source))
    assert [f"{level} {text}" for _, level, text in lines] == expected
    if "FileHandler" in configuration:
        assert (tmp_path / "own.log").read_text() == "two\n"


async def test_a_line_that_is_printed_and_logged_has_the_level_and_what_only_looks_like_a_mark_stays(
    tmp_path: Path,
) -> None:
    source = """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
        def handler(event, context):
            print("half a line", end="")
            logging.info("logged")
            print("\\x1e\\x1f9\\x1fno mark")
        """
    assert logged(await run_one(tmp_path, source)) == [
        ("stdout", "info", "half a linelogged"),
        ("stdout", None, "\x1e\x1f9\x1fno mark"),
    ]


async def test_a_long_record_is_cut_and_keeps_its_level(tmp_path: Path) -> None:
    source = """
        import logging
        def handler(event, context):
            logging.getLogger().error("x" * 150_000)
            print("after")
        """
    lines = logged(await run_one(tmp_path, source))
    assert "".join(text for stream, _, text in lines if stream == "stderr") == "x" * 150_000
    assert [level for stream, level, _ in lines if stream == "stderr"] == ["error"] * 3
    assert lines[-1] == ("stdout", None, "after") or lines[0] == ("stdout", None, "after")


async def test_logging_is_not_imported_for_functions_that_do_not(tmp_path: Path) -> None:
    source = """
        import sys
        def handler(event, context):
            before = "logging" in sys.modules
            import logging, logging.handlers
            left = [finder for finder in sys.meta_path if "sendoff" in type(finder).__module__]
            return [before, type(logging.__loader__).__name__, len(left)]
        """
    async with pool_of(tmp_path, {"f-background.py": source}) as pool:
        outcome = await pool.run(call("f-background"))
    assert outcome.result is not None
    assert outcome.result.body == b'[false,"SourceFileLoader",0]'


async def test_a_module_of_the_function_s_own_may_be_called_logging(tmp_path: Path) -> None:
    files = {
        "f-background/f-background.py": "import logging\ndef handler(event, context):\n    return logging.OWN\n",
        "f-background/logging.py": "OWN = 'mine'\n",
    }
    async with pool_of(tmp_path, files) as pool:
        outcome = await pool.run(call("f-background"))
    assert outcome.result is not None
    assert outcome.result.body == b'"mine"'
