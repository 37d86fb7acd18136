"""`sendoff batch` as a process against a real service: what goes in and comes out, how it looks, and wrong usage."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen

import pytest

from tests.support.batching import World, batching, many, results, write
from tests.support.command import SENDOFF, sendoff
from tests.support.processes import eventually
from tests.support.terminal import Terminal

pytestmark = pytest.mark.acceptance


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with batching(tmp_path_factory.mktemp("service")) as world:
        yield world


# What goes in and what comes out


def test_every_document_is_a_job_with_its_name_its_type_and_its_bytes(world: World, tmp_path: Path) -> None:
    files = {
        "docs/a.html": b"<p>", "docs/b.pdf": b"%PDF\x00\xff", "docs/deep/c.json": b"{}", "docs/no type": b"x",
        "docs/.hidden": b"x", "docs/.git/config": b"x",
        'docs/Gr\u00fc\u00dfe "und" 100%.md': b"# T", "docs/empty.txt": b"", "single.csv": b"a,b",
    }  # fmt: skip
    write(tmp_path, files)
    ended = world.run(tmp_path, "batch", "read-background", "docs", "single.csv", "--results", "out.ndjson")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("read-background  completed  7 jobs: 7 succeeded; after ")
    lines = results(tmp_path / "out.ndjson")
    assert [line["index"] for line in lines] == list(range(7))
    expected = {
        'docs/Gr\u00fc\u00dfe "und" 100%.md': ("text/markdown", 3),
        "docs/a.html": ("text/html", 3),
        "docs/b.pdf": ("application/pdf", 6),
        "docs/empty.txt": ("text/plain", 0),
        "docs/no type": ("application/octet-stream", 1),
        "docs/deep/c.json": ("application/json", 2),
        "single.csv": ("text/csv", 3),
    }
    assert {line["key"]: (line["result"]["type"], line["result"]["bytes"]) for line in lines} == expected
    assert [line["key"] for line in lines] == list(expected)
    assert not (tmp_path / "out.ndjson.part").exists()
    (hook,) = eventually(lambda: world.receiver.at("/hook"), what="one message")
    assert json.loads(hook.body)["type"] == "batch.completed"


def test_what_is_no_document_in_a_folder_is_left_out_and_told(world: World, tmp_path: Path) -> None:
    write(tmp_path, {"docs/a.txt": b"a", "other/b.txt": b"b"})
    os.mkfifo(tmp_path / "docs/pipe")
    os.mkfifo(tmp_path / "docs/.hidden")
    (tmp_path / "docs/link.txt").symlink_to("a.txt")
    (tmp_path / "docs/linked").symlink_to("../other")
    ended = world.run(tmp_path, "batch", "read-background", "docs")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("read-background  completed  2 jobs: 2 succeeded; ")
    assert ended.stderr.splitlines()[:3] == [
        "docs/linked is left out: it is a link to a folder; to have what is in it, name it, too",
        "docs/pipe is left out: it is a pipe",
        "2 items for read-background; key " + ended.stderr.splitlines()[2].rpartition(" ")[2],
    ]
    for number in range(11):
        os.mkfifo(tmp_path / f"other/pipe{number}")
    (tmp_path / "other/b.txt").unlink()
    ended = world.run(tmp_path, "batch", "read-background", "other")
    *told, more, fault = ended.stderr.splitlines()
    assert (ended.returncode, len(told)) == (2, 10)
    assert (more, fault) == ("... and 1 more is left out", "sendoff: there are no files to submit")


def test_a_link_to_what_is_not_there_is_as_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"docs/a.txt": b"a"})
    (tmp_path / "docs/lost.txt").symlink_to("nowhere")
    for name in ("docs", "docs/lost.txt"):
        ended = sendoff(tmp_path, "batch", "read-background", name, SENDOFF_URL="http://127.0.0.1:1")
        assert ended.returncode == 2
        assert ended.stderr == (
            "sendoff: docs/lost.txt cannot be read: it is a link to what is not there\n  Nothing was submitted.\n"
        )


def test_names_that_are_no_text_and_absolute_ones(world: World, tmp_path: Path) -> None:
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n.txt")
    Path(os.fsdecode(odd)).write_bytes(b"x")
    ended = world.run(tmp_path, "batch", "read-background", str(tmp_path), "--results", f"{tmp_path}/out.ndjson")
    assert ended.returncode == 0, ended.stderr
    (line,) = results(tmp_path / "out.ndjson")
    assert line["key"] == f"{tmp_path}/caf?\n.txt"


def test_failures_are_told_by_name_and_run_again(world: World, tmp_path: Path) -> None:
    write(tmp_path, {"good.txt": b"good", "bad.txt": b"broken", "worse.txt": b"broken"})
    ended = world.run(tmp_path, "batch", "read-background", "good.txt", "bad.txt", "worse.txt", "--settled")
    assert ended.returncode == 1
    assert "completed_with_failures  3 jobs: 1 succeeded, 2 failed" in ended.stdout
    assert "\n  bad.txt\n    " in ended.stdout
    assert "failed (error)  ValueError: no text in it\n" in ended.stdout
    assert "its message to hook: delivered" in ended.stdout
    (batch,) = world.batches()
    assert f"sendoff retry {batch['id']}" in ended.stdout
    (world.functions / "mended").touch()
    assert world.run(tmp_path, "retry", batch["id"]).returncode == 0
    waited = world.run(tmp_path, "wait", batch["id"], "--results", "out.ndjson")
    assert waited.returncode == 0, waited.stderr
    assert "completed  3 jobs: 3 succeeded" in waited.stdout
    assert [line["state"] for line in results(tmp_path / "out.ndjson")] == ["succeeded"] * 3
    assert "completed  3 jobs: 3 succeeded" in world.run(tmp_path, "job", batch["id"]).stdout
    listed = world.run(tmp_path, "jobs", "--batch", batch["id"]).stdout
    assert len(listed.splitlines()) == 4
    assert "  3/3    0 " in world.run(tmp_path, "batches").stdout


def test_lines_come_from_stdin_and_what_is_rejected_is_told(world: World, tmp_path: Path) -> None:
    said = '{"body": "one", "key": "first"}\n\n{"body": {"n": 2}}\n{"bogus": 1}\n{"body_base64": "AAEC"}'
    ended = world.run(tmp_path, "batch", "read-background", "-", "--json", "--results", "out.ndjson", said=said)
    assert ended.returncode == 1
    assert "1 item rejected, and in no batch:\n  item 2: " in ended.stderr
    batch = json.loads(ended.stdout)
    assert (batch["state"], batch["total"], batch["succeeded"]) == ("completed", 3, 3)
    assert "3 jobs: 3 succeeded; 1 item rejected; after " in world.run(tmp_path, "job", batch["id"]).stdout
    assert [(line["index"], line["key"], line["result"]["type"]) for line in results(tmp_path / "out.ndjson")] == [
        (0, "first", "text/plain; charset=utf-8"),
        (1, None, "application/json"),
        (3, None, "application/octet-stream"),
    ]


def test_names_come_from_a_list_and_the_id_is_printed_without_waiting(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 3)
    options = ("--files-from", "-", "--no-wait", "--tag", "nightly", "--tag", "M\u00e4rz")
    ended = world.run(tmp_path, "batch", "read-background", *options, said="\n".join(names))
    assert ended.returncode == 0, ended.stderr
    (batch,) = world.batches()
    assert ended.stdout == f"{batch['id']}\n"
    assert world.run(tmp_path, "wait", batch["id"]).returncode == 0
    for tag in ("nightly", "M%C3%A4rz"):
        assert len(world.service.items(f"/v1/jobs?tag={tag}")) == 3


# How it looks


def test_a_terminal_shows_a_bar_that_lives(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 30)
    world.hold()
    with Terminal(tmp_path, "batch", "read-background", *names, **world.environ) as terminal:
        terminal.until(lambda drawn: "0 of 30 done" in drawn and "2 running  28 waiting" in drawn)
        world.let_go()
        eventually(lambda: world.batches()[0]["succeeded"] > 0)
        world.hold()
        terminal.until(lambda drawn: "deliveries on their way: slow " in drawn)
        world.let_go()
        assert terminal.ended() == 0
    assert "30 jobs: 30 succeeded" in terminal.drawn.splitlines()[-2]


def test_memory_is_bounded_whatever_the_files_are(world: World, tmp_path: Path) -> None:
    names = [f"{index}.bin" for index in range(12)]
    for name in names:
        with (tmp_path / name).open("wb") as file:
            file.truncate(40_000_000)
    with (tmp_path / "said").open("w+b") as said:
        command = [SENDOFF, "batch", "read-background", *names]
        process = Popen(command, cwd=tmp_path, env=world.environ, stdin=DEVNULL, stdout=said, stderr=said)
        highest = 0
        while process.poll() is None:
            highest = max(highest, peak_kb(process.pid))
        said.seek(0)
        text = said.read().decode()
    assert process.returncode == 1
    assert "12 items rejected" in text
    assert 0 < highest < 120_000


def peak_kb(pid: int) -> int:
    """Return the most memory that a process had so far; what its parent had at the fork is not counted."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) if found and "Name:\tsendoff" in status else 0


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "there are no files to submit"),
        (["nowhere.txt", "here.txt"], "nowhere.txt cannot be read: No such file or directory"),
        (["-", "here.txt"], "- stands for all items"),
        (["-", "--files-from", "list"], "- stands for all items"),
        (["here.txt", "--key", "a", "--new"], "give one of them"),
        (["here.txt", "--key", "a\nb"], "argument --key: expected 1 to 255 printable ASCII characters"),
        (["here.txt", "--key", ""], "argument --key: expected 1 to 255 printable ASCII characters"),
        (["here.txt", "--tag", ""], "argument --tag: expected 1 to 100 characters such as nightly"),
        (["--files-from", "nowhere"], "nowhere cannot be read"),
        (["/dev/null"], "/dev/null is no file"),
        (["-"], "there are no files to submit"),
    ],
)
def test_wrong_usage_is_2_and_nothing_is_submitted(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "here.txt").write_text("x")
    ended = sendoff(tmp_path, "batch", "read-background", *arguments, said="", SENDOFF_URL="http://127.0.0.1:1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr


def test_too_many_items_are_wrong_usage(tmp_path: Path) -> None:
    ended = sendoff(tmp_path, "batch", "f", "-", said="{}\n" * 10_001, SENDOFF_URL="http://127.0.0.1:1")
    assert ended.returncode == 2
    assert "a batch holds at most 10,000 items, and these are 10,001" in ended.stderr


def test_an_unknown_function_is_found_before_anything_is_sent(world: World, tmp_path: Path) -> None:
    names = many(tmp_path, 1)
    ended = world.run(tmp_path, "batch", "reed-background", *names)
    assert ended.returncode == 1
    said = "sendoff: there is no function reed-background\n  Did you mean read-background? There are: "
    assert ended.stderr.startswith(said)
    assert world.batches() == []


@pytest.mark.parametrize(
    ("path", "sentence"),
    [(".", "--results: . is a folder; name a file in it"), ("no/x.ndjson", "--results: there is no folder no")],
)
def test_results_that_could_not_be_written_are_refused_before_anything_is_sent(
    world: World, tmp_path: Path, path: str, sentence: str
) -> None:
    before = len(world.service.request("GET", "/v1/batches").json()["items"])
    ended = world.run(tmp_path, "batch", "read-background", "-", "--new", "--results", path, said='{"body": "x"}\n')
    assert (ended.returncode, ended.stdout) == (2, "")
    assert sentence in ended.stderr
    assert len(world.service.request("GET", "/v1/batches").json()["items"]) == before
