"""The variables of `--env-file` serve the configuration, and reach no function but through its own `env`."""

from pathlib import Path

import pytest

from tests.support.serving import Service

pytestmark = pytest.mark.acceptance

SHOW = """
    import json, os
    def handler(event, context):
        seen = {name: os.environ.get(name) for name in ("GIVEN", "TOKEN", "TZ")}
        return {"statusCode": 200, "body": json.dumps(seen)}
    """


def test_the_variables_of_the_file_stay_with_the_service(tmp_path: Path) -> None:
    service = Service(tmp_path, {"show.py": SHOW}, "functions: {settings: {show: {env: {GIVEN: 'got ${TOKEN}'}}}}\n")
    (tmp_path / ".env").write_text("TOKEN=secret\nTZ=Antarctica/Troll\n")
    service.launch("--env-file", ".env")
    try:
        service.ready()
        seen = service.get("/functions/show").json()
    finally:
        service.kill()
    assert (seen["GIVEN"], seen["TOKEN"]) == ("got secret", None)
    assert seen["TZ"] != "Antarctica/Troll"
