"""Replays of destinations: what a destination missed, or gave up on, is sent after all."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config.settings import FunctionSettings, RetrySpec, Target
from pipeline.services.replays import walk as replay_walk
from tests.support.pages import pages
from tests.support.receiver import OK, answer, receiving
from tests.support.replays import FILES, at_end, begin, deliveries, hooked, jobs, replayed, to_hook
from tests.support.service import Service, eventually, holds, sends_to, serving, webhook


async def test_what_is_dead_is_sent_again_once_each_by_the_full_schedule(tmp_path: Path) -> None:
    async with hooked(tmp_path, *[answer(500)] * 7, OK) as (receiver, service):
        await jobs(service, 7)
        await deliveries(service, "dead", 7)
        shown = await replayed(service)
        assert (shown["state"], shown["states"], shown["rate"]) == ("completed", ["dead"], "50/s")
        assert (shown["total"], shown["done"], shown["skipped"]) == (7, 7, 0)
        done = await deliveries(service, "delivered", 7)
        assert {(each.attempt, each.max_attempts) for each in done} == {(2, 2)}
        became = (await service.get(f"/v1/replays/{shown['id']}")).json["deliveries"]
        assert became == dict.fromkeys(became, 0) | {"delivered": 7}
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        assert sorted(ids[:7]) == sorted(ids[7:]) == sorted(each.message_id for each in done)
        (one, two) = (await service.get(f"/v1/deliveries/{done[0].id}")).json["attempts"]
        assert (one["trigger"], two["trigger"]) == ("auto", "replay")
        again = await replayed(service)
        assert (again["total"], again["done"]) == (0, 0)
        assert len(receiver.requests) == 14


async def test_a_replay_keeps_to_its_rate(tmp_path: Path) -> None:
    async with hooked(tmp_path, *[answer(500)] * 6, OK) as (receiver, service):
        await jobs(service, 6)
        await deliveries(service, "dead", 6)
        replay = (await begin(service, rate="6/m")).json
        for number in range(1, 6):
            await holds(lambda number=number: len(receiver.requests) == 6 + number)
            await service.clock.advance(9.9)
            assert len(await deliveries(service, "dead", 6 - number)) == 6 - number
            shown = (await service.get(f"/v1/replays/{replay['id']}")).json
            assert (shown["state"], shown["total"], shown["done"]) == ("running", 6, number)
            await service.clock.advance(0.1)
        # With the last one opened it is over: nothing waits for a turn that nobody needs.
        await eventually(lambda: _has_ended(service, replay["id"]))


async def _has_ended(service: Service, replay_id: str) -> bool | None:
    return (await service.get(f"/v1/replays/{replay_id}")).json["state"] == "completed" or None


async def test_only_what_the_span_of_time_has_is_replayed(tmp_path: Path) -> None:
    async with hooked(tmp_path, *[answer(500)] * 3, OK) as (_, service):
        moments = []
        for _ in range(3):
            await service.clock.advance(3600)
            (job_id,) = await jobs(service, 1)
            moments.append((job_id, service.clock.now()))
            await service.until_delivered(job_id, "dead")
        first, at, within = moments[0][1], moments[1][1], timedelta(minutes=5)
        span = {"since": (at - within).isoformat(), "until": (at + within).isoformat()}
        assert (await begin(service, dry_run=True, **span)).json["total"] == 1
        for ago, count in (({"since": "65m", "until": "55m"}, 1), ({"since": "1.1h"}, 2), ({"since": "9d"}, 3)):
            assert (await begin(service, dry_run=True, **ago)).json["total"] == count
        for ever in ("99999999999999d", f"{'9' * 5000}h", "0001-01-01T00:00:00Z"):
            counted = (await begin(service, dry_run=True, since=ever)).json
            assert (counted["since"], counted["total"]) == ("1970-01-01T00:00:00.000Z", 3)
        assert (await replayed(service, **span))["done"] == 1
        await service.until_delivered(moments[1][0], "delivered")
        await deliveries(service, "dead", 2)
        later = (at + within).isoformat()
        assert (await begin(service, dry_run=True, since=later)).json["total"] == 1
        assert (await begin(service, dry_run=True, since=first.isoformat(), until=first.isoformat())).json["total"] == 1


async def test_delivered_and_cancelled_are_replayed_where_they_are_named(tmp_path: Path) -> None:
    async with hooked(tmp_path, OK, answer(500), OK, retry=RetrySpec(waits=(60.0,))) as (receiver, service):
        (first,) = await jobs(service, 1)
        await service.until_delivered(first, "delivered")
        (second,) = await jobs(service, 1)
        (waiting,) = await service.until_delivered(second, "retrying")
        await service.post(f"/v1/deliveries/{waiting.id}/cancel")
        assert (await begin(service, dry_run=True)).json["total"] == 0
        assert (await begin(service, dry_run=True, states=["delivered", "cancelled"])).json["states"] == {
            "delivered": 1, "cancelled": 1,
        }  # fmt: skip
        assert (await replayed(service, states=["cancelled"]))["done"] == 1
        await service.until_delivered(second, "delivered")
        assert len(receiver.requests) == 3
        assert (await replayed(service, states=["delivered"]))["done"] == 2
        await holds(lambda: len(receiver.requests) == 5)


async def test_new_ids_are_other_messages_to_the_receiver_and_stay(tmp_path: Path) -> None:
    async with receiving(OK) as receiver, serving(tmp_path, FILES, **to_hook(receiver.url)) as service:
        (job_id,) = await jobs(service, 1)
        (first,) = await service.until_delivered(job_id, "delivered")
        assert (await replayed(service, states=["delivered"], new_id=True))["new_id"]
        await holds(lambda: len(receiver.requests) == 2)
        await service.until_delivered(job_id, "delivered")
        shown = (await service.get(f"/v1/deliveries/{first.id}")).json
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        assert ids == [first.message_id, shown["message_id"]]
        assert len(set(ids)) == 2
        answered = await service.post(f"/v1/deliveries/{first.id}/replay", json={"new_id": True})
        assert answered.status == 202
        await holds(lambda: len(receiver.requests) == 3)
        await service.until_delivered(job_id, "delivered")
        await service.post(f"/v1/deliveries/{first.id}/replay", json={})
        await holds(lambda: len(receiver.requests) == 4)
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        assert len(set(ids)) == 3
        assert ids[2] == ids[3]


# Held


async def test_what_is_to_be_tried_later_is_sent_now(tmp_path: Path) -> None:
    hour = RetrySpec(waits=(3600.0,))
    async with hooked(tmp_path, answer(500), answer(500), OK, retry=hour) as (receiver, service):
        await jobs(service, 2)
        waiting = await deliveries(service, "retrying", 2)
        assert (await begin(service, dry_run=True, states=["held", "dead"])).json["total"] == 0
        assert (await begin(service, dry_run=True, states=["retrying"])).json["states"] == {"retrying": 2}
        shown = await replayed(service, states=["retrying"])
        assert (shown["total"], shown["done"], shown["skipped"]) == (2, 2, 0)
        delivered = await deliveries(service, "delivered", 2)
        assert {each.id for each in delivered} == {each.id for each in waiting}
        assert [(each.attempt, each.max_attempts) for each in delivered] == [(2, 3), (2, 3)]
        assert len(receiver.requests) == 4


async def test_what_is_held_is_due_at_once_at_resume_and_has_the_full_schedule(tmp_path: Path) -> None:
    async with receiving(answer(500), answer(500), OK) as receiver:
        options = to_hook(receiver.url, retry=RetrySpec(waits=(3600.0, 7200.0)))
        async with serving(tmp_path, FILES, **options) as service:
            retried = (await jobs(service, 1))[0]
            await service.until_delivered(retried, "retrying")
            assert (await begin(service, dry_run=True, states=["held"])).json["total"] == 0  # it is not held
            await service.post("/v1/destinations/hook/pause")
            fresh = (await jobs(service, 1))[0]
            await service.until_delivered(fresh, "pending")
            assert (await begin(service, dry_run=True, states=["retrying"])).json["total"] == 0  # now it is
            shown = await replayed(service, states=["held"])
            assert (shown["total"], shown["done"]) == (2, 2)
            assert len(receiver.requests) == 1
            assert (await service.get("/v1/destinations/hook")).json["held"] == 2
            await service.post("/v1/destinations/hook/resume")
            await holds(lambda: len(receiver.requests) == 3)
            (again,) = await service.until_delivered(retried, "retrying")
            assert (again.attempt, again.max_attempts) == (2, 4)
            await service.until_delivered(fresh, "delivered")


async def test_what_moved_on_between_the_count_and_its_turn_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_walk, "_PAGE", 1)  # what it looks at next may have changed since it was counted
    async with hooked(tmp_path, *[answer(500)] * 5, OK, retry=RetrySpec(waits=(36000.0,))) as (_, service):
        await jobs(service, 5)
        waiting = sorted(await deliveries(service, "retrying", 5), key=lambda each: each.id)
        for each in waiting[:4]:
            await service.post(f"/v1/deliveries/{each.id}/cancel")
        replay = (await begin(service, states=["cancelled"], rate="6/m")).json["id"]
        await deliveries(service, "delivered", 1)
        for each in waiting[2:4]:  # counted, and gone as its turn comes
            await service.post(f"/v1/deliveries/{each.id}/replay")
        await deliveries(service, "delivered", 3)
        shown = await at_end(service, replay)
        assert (shown["total"], shown["done"], shown["skipped"]) == (4, 2, 2)


async def test_what_comes_to_be_before_its_turn_is_of_the_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_walk, "_PAGE", 1)
    async with hooked(tmp_path, *[answer(500)] * 4, OK, retry=RetrySpec(waits=(36000.0,))) as (_, service):
        await jobs(service, 4)
        waiting = sorted(await deliveries(service, "retrying", 4), key=lambda each: each.id)
        for each in waiting[:2]:
            await service.post(f"/v1/deliveries/{each.id}/cancel")
        replay = (await begin(service, states=["cancelled"], rate="6/m")).json["id"]
        await deliveries(service, "delivered", 1)
        for each in waiting[2:]:
            await service.post(f"/v1/deliveries/{each.id}/cancel")
        shown = await at_end(service, replay)
        assert (shown["total"], shown["done"], shown["skipped"]) == (4, 4, 0)


# Missing


async def test_a_destination_that_was_added_later_gets_what_it_missed(tmp_path: Path) -> None:
    async with receiving(OK) as old, receiving(OK) as new:
        destinations = {"old": webhook(old.url), "new": webhook(new.url)}
        before = {"functions": {"quick-background": sends_to("old")}, "destinations": destinations}
        async with serving(tmp_path, FILES, **before) as service:
            started = await jobs(service, 3)
            for job_id in started:
                await service.until_delivered(job_id, "delivered")
            assert (await begin(service, "new", dry_run=True, states=["missing"])).json["total"] == 0
            functions = {"quick-background": sends_to("old", "new")}
            assert await service.reload(FILES, functions=functions, destinations=destinations)
            await jobs(service, 1)
            await holds(lambda: len(new.requests) == 1)
            dry = (await begin(service, "new", dry_run=True, states=["missing"])).json
            assert (dry["states"], new.requests[1:]) == ({"missing": 3}, [])
            shown = await replayed(service, "new", states=["missing"])
            assert (shown["total"], shown["done"], shown["skipped"]) == (3, 3, 0)
            await holds(lambda: len(new.requests) == 4)
            await deliveries(service, "delivered", 8)
            sent = {request.headers["x-sendoff-job-id"]: request for request in new.requests}
            for request in old.requests[:3]:
                twin = sent[request.headers["x-sendoff-job-id"]]
                assert twin.body == request.body
                assert twin.headers["webhook-id"] == request.headers["webhook-id"]
            assert (await replayed(service, "new", states=["missing"]))["total"] == 0
            assert len(new.requests) == 4


async def test_missing_asks_the_filters_and_the_kind_of_end_as_they_are_now(tmp_path: Path) -> None:
    files = {
        "size-background.py": """
            def handler(event, context):
                if event["body"] == "fail":
                    context.reject("no")
                return {"size": int(event["body"])}
            """
    }
    big = {"type": "object", "required": ["size"], "properties": {"size": {"minimum": 10}}}
    async with receiving(OK) as receiver:
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, files, destinations=destinations) as service:
            bodies = ("1", "10", "100", "fail")
            started = [await service.start_job("size-background", data=body) for body in bodies]
            for job_id in started:
                await service.until(job_id, "succeeded", "failed")
            settings = FunctionSettings(on_success=(Target(to="hook", when=big),))
            assert await service.reload(files, functions={"size-background": settings}, destinations=destinations)
            shown = await replayed(service, states=["missing"])
            assert (shown["total"], shown["done"]) == (2, 2)
            await holds(lambda: len(receiver.requests) == 2)
            assert {request.headers["x-sendoff-job-id"] for request in receiver.requests} == set(started[1:3])
            assert (await service.get(f"/v1/jobs/{started[0]}/deliveries")).json["items"] == []


async def test_missing_has_batches_too(tmp_path: Path) -> None:
    lines = b'{"body": 1}\n{"body": 2}\n'
    async with receiving(OK) as receiver:
        destinations = {"hook": webhook(receiver.url)}
        async with serving(tmp_path, FILES, destinations=destinations) as service:
            path, headers = "/v1/batches?function=quick-background", {"Content-Type": "application/x-ndjson"}
            batch = (await service.post(path, data=lines, headers=headers)).json["id"]
            await service.get(f"/v1/batches/{batch}?wait=20")
            settings = FunctionSettings(on_batch=(Target(to="hook"),))
            assert await service.reload(FILES, functions={"quick-background": settings}, destinations=destinations)
            assert (await replayed(service, states=["missing"]))["done"] == 1
            await holds(lambda: len(receiver.requests) == 1)
            (shown,) = (await service.get(f"/v1/batches/{batch}/deliveries")).json["items"]
            assert (shown["type"], shown["batch_id"]) == ("batch.completed", batch)


# Over restarts, together, and not at all


@pytest.mark.parametrize("state", ["dead", "delivered"])
async def test_a_replay_goes_on_after_a_restart_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    monkeypatch.setattr(replay_walk, "_PAGE", 2)
    async with receiving(*[answer(500 if state == "dead" else 200)] * 7, OK) as receiver:
        options = to_hook(receiver.url)
        async with serving(tmp_path, FILES, **options) as service:
            await jobs(service, 7)
            await deliveries(service, state, 7)
            replay = (await begin(service, rate="1/h", states=[state])).json
            await holds(lambda: len(receiver.requests) == 8)
            await service.clock.advance(3600)
            await holds(lambda: len(receiver.requests) == 9)
            await deliveries(service, "delivered", 2 if state == "dead" else 7)
            clock = service.clock
        async with serving(tmp_path, FILES, clock=clock, **options) as service:
            for number in range(10, 15):
                await holds(lambda number=number: len(receiver.requests) == number)
                await clock.advance(3600)
            shown = await at_end(service, replay["id"])
            assert (shown["total"], shown["done"], shown["state"]) == (7, 7, "completed")
            await deliveries(service, "delivered", 7)
            assert set(Counter(each.headers["webhook-id"] for each in receiver.requests).values()) == {2}


async def test_a_cancelled_replay_opens_nothing_more_and_makes_room(tmp_path: Path) -> None:
    async with hooked(tmp_path, *[answer(500)] * 3, OK) as (receiver, service):
        await jobs(service, 3)
        await deliveries(service, "dead", 3)
        first = (await begin(service, rate="1/h")).json
        await holds(lambda: len(receiver.requests) == 4)
        refused = await begin(service)
        assert (refused.status, refused.json["state"]) == (409, "running")
        assert first["id"] in refused.json["detail"]
        cancelled = await service.post(f"/v1/replays/{first['id']}/cancel")
        assert (cancelled.status, cancelled.json["state"], cancelled.json["done"]) == (202, "cancelled", 1)
        assert (await service.post(f"/v1/replays/{first['id']}/cancel")).status == 409
        await service.clock.advance(7200)
        await deliveries(service, "dead", 2)
        second = await replayed(service)
        assert second["done"] == 2
        for path in ("/v1/replays?limit=1", "/v1/destinations/hook/replays?limit=1"):
            listed = await pages(service, path)
            assert [each["id"] for each in listed] == [second["id"], first["id"]]


async def test_while_its_destination_is_not_configured_a_replay_waits(tmp_path: Path) -> None:
    async with receiving(*[answer(500)] * 3, OK) as receiver:
        options = to_hook(receiver.url)
        async with serving(tmp_path, FILES, **options) as service:
            await jobs(service, 3)
            await deliveries(service, "dead", 3)
            replay = (await begin(service, rate="1/h")).json
            await holds(lambda: len(receiver.requests) == 4)
            await deliveries(service, "delivered", 1)  # stored too, so that nothing is owed to it
            assert await service.reload(FILES)
            await service.clock.advance(7200)
            assert (await service.get(f"/v1/replays/{replay['id']}")).json["done"] == 1
            assert (await begin(service)).status == 404
            assert await service.reload(FILES, **options)
            for number in (5, 6):
                await holds(lambda number=number: len(receiver.requests) == number)
                await service.clock.advance(3600)
            assert (await at_end(service, replay["id"]))["done"] == 3
