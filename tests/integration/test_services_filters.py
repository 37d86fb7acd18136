"""Filters: what `when` lets through is sent, the rest is owed to nobody and says why."""

from pathlib import Path

from pipeline.config.settings import FunctionSettings, Target
from tests.support.receiver import OK, answer, receiving
from tests.support.service import serving, webhook

COUNTS = """
    import json

    def handler(event, context):
        return json.loads(event["body"])
    """
MANY_WORDS = {"type": "object", "required": ["words"], "properties": {"words": {"minimum": 10}}}
FEW_WORDS = {"type": "object", "required": ["words"], "properties": {"words": {"maximum": 3}}}


def settings(*targets: Target) -> dict[str, FunctionSettings]:
    return {"counts-background": FunctionSettings(on_success=targets)}


async def test_only_what_a_filter_matches_is_sent(tmp_path: Path) -> None:
    files = {"counts-background.py": COUNTS}
    async with receiving(OK) as receiver:
        functions = settings(Target(to="long", when=MANY_WORDS), Target(to="all"))
        destinations = {name: webhook(receiver.url) for name in ("long", "all")}
        async with serving(tmp_path, files, functions=functions, destinations=destinations) as service:
            short = await service.start_job("counts-background", json={"words": 2})
            found = await service.until_delivered(short, "delivered", "skipped")
            assert {each.destination: (each.state, each.reason) for each in found} == {
                "all": ("delivered", None),
                "long": ("skipped", "filtered"),
            }
            shown = (await service.get(f"/v1/jobs/{short}")).json["deliveries"]
            assert (shown["delivered"], shown["skipped"], shown["pending"]) == (1, 1, 0)
            long = await service.start_job("counts-background", json={"words": 20})
            await service.until_delivered(long, "delivered")
            assert len(receiver.requests) == 3


async def test_a_destination_named_twice_gets_one_delivery_if_either_filter_matches(tmp_path: Path) -> None:
    files = {"counts-background.py": COUNTS}
    async with receiving(OK) as receiver:
        functions = settings(Target(to="hook", when=MANY_WORDS), Target(to="hook", when=FEW_WORDS))
        async with serving(
            tmp_path, files, functions=functions, destinations={"hook": webhook(receiver.url)}
        ) as service:
            for words, state in ((20, "delivered"), (2, "delivered"), (5, "skipped")):
                job_id = await service.start_job("counts-background", json={"words": words})
                (delivery,) = await service.until_delivered(job_id, state)
                assert delivery.state == state


async def test_waiting_until_settled_waits_for_the_deliveries_too(tmp_path: Path) -> None:
    files = {"counts-background.py": COUNTS}
    async with receiving(answer(503), OK) as receiver:
        functions = settings(Target(to="hook"))
        destinations = {"hook": webhook(receiver.url, waits=(30.0,))}
        async with serving(tmp_path, files, functions=functions, destinations=destinations) as service:
            job_id = await service.start_job("counts-background", json={"words": 1})
            await service.until_delivered(job_id, "retrying")
            final = (await service.get(f"/v1/jobs/{job_id}?wait=20")).json
            assert (final["state"], final["deliveries"]["retrying"]) == ("succeeded", 1)
            await service.clock.advance(40)
            settled = (await service.get(f"/v1/jobs/{job_id}?wait=20&until=settled")).json
            assert settled["deliveries"]["delivered"] == 1
