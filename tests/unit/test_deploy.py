"""The examples of deployment hold to the settings of the service."""

from configparser import ConfigParser
from pathlib import Path

from pipeline.app import WRITING_S
from pipeline.config.settings import ServiceSettings

UNIT = Path(__file__).parents[2] / "examples" / "deploy" / "sendoff.service"


def test_systemd_waits_longer_than_a_drain_takes() -> None:
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(UNIT.read_text())
    service = unit["Service"]
    # A drain writes three times after its grace: what ended, what was sent, and the notes.
    assert float(service["TimeoutStopSec"]) > ServiceSettings().drain_grace + 3 * WRITING_S
    assert service["KillMode"] == "mixed"
    assert "78" in service["RestartPreventExitStatus"].split()
