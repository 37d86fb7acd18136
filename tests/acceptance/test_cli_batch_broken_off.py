"""`sendoff batch` broken off on the way: client or service killed, cancelled, interrupted; all runs once, not twice."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.batching import World, batching, many, results, write
from tests.support.processes import eventually

pytestmark = pytest.mark.acceptance


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with batching(tmp_path_factory.mktemp("service")) as world:
        yield world


def test_the_same_command_again_submits_nothing_and_another_key_does(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 20)
    assert world.run(tmp_path, "batch", "read-background", *names).returncode == 0
    again = world.run(tmp_path, "batch", "read-background", *names, "--results", "out.ndjson")
    assert again.returncode == 0
    assert "This batch was begun before" in again.stderr
    assert len(results(tmp_path / "out.ndjson")) == 20
    assert len(world.jobs_that_ran()) == 20
    os.utime(tmp_path / names[0], ns=(1, 1))
    world.run(tmp_path, "batch", "read-background", *names)
    world.run(tmp_path, "batch", "read-background", "--new", *names)
    world.run(tmp_path, "batch", "read-background", *names, "--tag", "other")
    assert [batch["total"] for batch in world.batches()] == [20] * 4


def large(folder: Path) -> list[str]:
    """Write files whose upload takes a while."""
    names = [f"{index:03}.bin" for index in range(200)]
    write(folder, dict.fromkeys(names, bytes(500_000)))
    return names


def test_a_client_that_is_killed_under_its_upload_goes_on_when_it_is_run_again(world: World, tmp_path: Path) -> None:
    names = large(tmp_path)
    with world.start(tmp_path, "batch", "read-background", *names) as first:
        eventually(lambda: world.batches() and world.batches()[0]["total"] >= 2, what="a part is there")
        first.kill()
    (batch,) = world.batches()
    assert batch["state"] == "receiving"
    again = world.run(tmp_path, "batch", "read-background", *names, "--results", "out.ndjson")
    assert again.returncode == 0, again.stderr
    assert "200 jobs: 200 succeeded" in again.stdout
    assert "begun before" in again.stderr
    assert [each["id"] for each in world.batches()] == [batch["id"]]
    assert len(world.jobs_that_ran()) == 200
    assert [line["key"] for line in results(tmp_path / "out.ndjson")] == names


def test_a_client_that_is_killed_under_the_work_goes_on_when_it_is_run_again(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 100)
    world.hold()
    with world.start(tmp_path, "batch", "read-background", *names) as first:
        eventually(lambda: world.batches() and world.batches()[0]["total"] == 100, what="all of it is there")
        first.kill()
    with world.start(tmp_path, "batch", "read-background", *names) as second:
        assert second.stderr is not None
        assert "100 items for read-background; key batch-" in second.stderr.readline()
        world.let_go()
        out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert "100 jobs: 100 succeeded" in out
    assert len(world.batches()) == 1
    assert len(world.jobs_that_ran()) == 100


def test_a_service_that_is_killed_under_an_upload_gets_the_rest_of_it(world: World, tmp_path: Path) -> None:
    names = large(tmp_path)
    with world.start(tmp_path, "batch", "read-background", *names, "--results", "out.ndjson") as sending:
        eventually(lambda: world.batches() and world.batches()[0]["total"] >= 2, what="a part is there")
        world.service.kill()
        world.service.start()
        out, err = sending.communicate(timeout=100)
    assert sending.returncode == 0, err
    assert "trying again" in err
    assert "200 jobs: 200 succeeded" in out
    assert len(world.batches()) == 1
    assert len(world.jobs_that_ran()) == 200
    assert [line["key"] for line in results(tmp_path / "out.ndjson")] == names


def test_a_service_that_is_killed_under_the_work_is_waited_for(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 100)
    world.hold()
    with world.start(tmp_path, "batch", "read-background", *names, "--settled") as following:
        eventually(lambda: world.batches() and world.batches()[0]["total"] == 100)
        eventually(world.jobs_that_ran, what="some run")
        world.service.kill()
        world.let_go()
        world.service.start()
        out, err = following.communicate(timeout=100)
    assert following.returncode == 0, err
    assert "the service answers again" in err
    assert "100 jobs: 100 succeeded" in out
    assert "its message to hook: delivered" in out
    assert len({hook.id for hook in world.receiver.at("/hook")}) == 1


def test_a_batch_is_cancelled(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 50)
    world.hold()
    with world.start(tmp_path, "batch", "read-background", *names) as following:
        eventually(lambda: world.batches() and world.batches()[0]["total"] == 50)
        ended = world.run(tmp_path, "cancel", world.batches()[0]["id"])
        out, _ = following.communicate(timeout=60)
    world.let_go()
    assert ended.returncode == 0
    assert following.returncode == 1
    assert "read-background  cancelled  50 jobs: 0 succeeded, 50 cancelled" in out


def test_an_interrupted_command_says_how_to_go_on(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 30)
    world.hold()
    with world.start(tmp_path, "batch", "read-background", *names) as following:
        eventually(lambda: world.batches() and world.batches()[0]["total"] == 30)
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=30)
    assert following.returncode == 130
    assert err.endswith("Interrupted. What was submitted goes on; run the same command again to follow it.\n")
    assert world.batches()[0]["state"] == "running"
