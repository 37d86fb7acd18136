"""What handlers return and raise, and what becomes of it: real worker processes, seen from outside."""

import json
from pathlib import Path

import pytest

from pipeline.config.secret import Secret
from pipeline.config.settings import FunctionSettings
from pipeline.errors import BadNameError, UnknownFunctionError
from pipeline.model import JobReason, RunState
from tests.support.pools import call, lines, pool_of, run_one


def returning(expression: str) -> str:
    return f"def handler(event, context):\n    return {expression}\n"


def raising(statement: str) -> str:
    return f"class Odd(Exception): pass\ndef handler(event, context):\n    {statement}\n"


async def test_response_of_a_synchronous_function_comes_back_whole(tmp_path: Path) -> None:
    source = returning(
        "{'statusCode': '201', 'body': 'gr\\u00fcn', 'headers': {'X-N': 1, 'Set-Cookie': 'gone', 'x-flag': True},"
        " 'multiValueHeaders': {'set-cookie': ['a=1', 'b=2']}}"
    )
    outcome = await run_one(tmp_path, source, name="f")
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.result is not None
    assert outcome.result.status == 201
    assert outcome.result.headers == (
        ("X-N", "1"), ("x-flag", "true"), ("set-cookie", "a=1"), ("set-cookie", "b=2")
    )  # fmt: skip
    assert outcome.result.body == "grün".encode()
    assert outcome.started_at is not None
    assert outcome.ended_at is not None
    assert outcome.started_at <= outcome.ended_at


async def test_base64_body_is_decoded(tmp_path: Path) -> None:
    source = returning("{'statusCode': 200, 'body': '/wD+', 'isBase64Encoded': True}")
    outcome = await run_one(tmp_path, source, name="f")
    assert outcome.result is not None
    assert outcome.result.body == b"\xff\x00\xfe"
    assert outcome.result.headers == ()


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("None", "got NoneType"),
        ("'text'", "got str"),
        ("{'body': 'x'}", "without a number as statusCode"),
        ("{'statusCode': True}", "without a number as statusCode"),
        ("{'statusCode': 999}", "from 100 to 599, got 999"),
        ("{'statusCode': 200, 'body': {'a': 1}}", "body must be a string, got dict"),
        ("{'statusCode': 200, 'body': b'x'}", "body must be a string, got bytes"),
        ("{'statusCode': 200, 'body': '!', 'isBase64Encoded': True}", "body must be base64"),
        ("{'statusCode': 200, 'body': '\\udc80'}", "UTF-8"),
        ("{'statusCode': 200, 'headers': {'x-a': 'b\\r\\nset-cookie: c'}}", "must not contain line breaks"),
        ("{'statusCode': 200, 'headers': {'x a': 'b'}}", "must be a token"),
        ("{'statusCode': 200, 'headers': {'x-a': None}}", "must be a string, got NoneType"),
        ("{'statusCode': 200, 'headers': ['x']}", "headers must be a dict, got list"),
        ("{'statusCode': 200, 'multiValueHeaders': {'x': 'y'}}", "must hold lists, got str"),
    ],
)
async def test_bad_response_of_a_synchronous_function(tmp_path: Path, expression: str, sentence: str) -> None:
    outcome = await run_one(tmp_path, returning(expression), name="f")
    assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.BAD_RESPONSE)
    assert outcome.error is not None
    assert sentence in outcome.error.message
    assert not outcome.is_final


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("None", b"null"),
        ("'t\\u00e4xt'", '"täxt"'.encode()),
        ("{'words': 3, 'list': [1.5, True]}", b'{"words":3,"list":[1.5,true]}'),
        ("{'statusCode': 'none'}", b'{"statusCode":"none"}'),
    ],
)
async def test_background_function_returns_any_value(tmp_path: Path, expression: str, value: bytes) -> None:
    outcome = await run_one(tmp_path, returning(expression))
    assert outcome.state is RunState.SUCCEEDED
    assert outcome.result is not None
    assert (outcome.result.status, outcome.result.content_type) == (200, "application/json")
    assert outcome.result.body == value


@pytest.mark.parametrize(
    "expression",
    ["float('nan')", "'\\ud800'", "object()", "{1: 2, '1': 3}", "nest(70)", "nest(9000)", "{(1, 2): 3}", "{'a': {1}}"],
)
async def test_value_that_is_no_strict_json_is_a_bad_response(tmp_path: Path, expression: str) -> None:
    nest = "def nest(levels):\n    value = 1\n    for _ in range(levels): value = [value]\n    return value\n"
    outcome = await run_one(tmp_path, nest + returning(expression))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.BAD_RESPONSE)
    assert outcome.result is None


async def test_5xx_of_a_background_function_fails_and_keeps_the_result(tmp_path: Path) -> None:
    source = returning("{'statusCode': 503, 'body': 'later'}")
    settings = {"lenient-background": FunctionSettings(retry_on_5xx=False)}
    files = {"strict-background.py": source, "lenient-background.py": source, "sync.py": source}
    async with pool_of(tmp_path, files, settings=settings) as pool:
        strict = await pool.run(call("strict-background"))
        lenient = await pool.run(call("lenient-background"))
        sync = await pool.run(call("sync"))
    assert (strict.state, strict.reason) == (RunState.FAILED, JobReason.BAD_STATUS)
    assert strict.result is not None
    assert strict.result.body == b"later"
    assert lenient.state is sync.state is RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("statement", "reason", "kind", "message"),
    [
        ("raise ValueError('no words')", JobReason.ERROR, "ValueError", "no words"),
        ("import sys; sys.exit(4)", JobReason.ERROR, "SystemExit", "4"),
        ("raise KeyboardInterrupt", JobReason.ERROR, "KeyboardInterrupt", ""),
        ("raise BaseException('base')", JobReason.ERROR, "BaseException", "base"),
        ("raise Odd('\\udc80')", JobReason.ERROR, "Odd", "?"),
        ("raise MemoryError('full')", JobReason.OUT_OF_MEMORY, "MemoryError", "full"),
        ("Odd.__str__ = lambda self: 1/0; raise Odd()", JobReason.ERROR, "Odd", "<Odd: its text cannot be had>"),
        ("Odd.__str__ = lambda self: 5; raise Odd()", JobReason.ERROR, "Odd", "<Odd: its text cannot be had>"),
        ("Odd.retryable = False; raise Odd('never')", JobReason.REJECTED, "Odd", "never"),
        ("context.reject('not a PDF')", JobReason.REJECTED, "Rejected", "not a PDF"),
        ("handler(event, context)", JobReason.ERROR, "RecursionError", "maximum recursion depth exceeded"),
    ],
)
async def test_raising_anything_fails_the_run(
    tmp_path: Path, statement: str, reason: JobReason, kind: str, message: str
) -> None:
    outcome = await run_one(tmp_path, raising(statement))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, reason)
    assert outcome.is_final is (reason is JobReason.REJECTED)
    assert outcome.error is not None
    assert outcome.error.type == kind
    assert outcome.error.message.startswith(message)
    assert all("f-background.py" in frame for frame in outcome.error.stack[:1])


async def test_rejection_holds_though_the_handler_swallows_it(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            try:
                context.reject("for good")
            except Exception:
                return {"fine": True}
        """
    outcome = await run_one(tmp_path, source)
    assert (outcome.reason, outcome.is_final) == (JobReason.REJECTED, True)


async def test_stack_names_the_users_frames_outermost_first(tmp_path: Path) -> None:
    source = "def inner():\n    raise ValueError('x')\ndef handler(event, context):\n    inner()\n"
    outcome = await run_one(tmp_path, source)
    assert outcome.error is not None
    assert [frame.split(" in ")[1].split("\n")[0] for frame in outcome.error.stack] == ["handler", "inner"]


@pytest.mark.parametrize(
    ("source", "kind", "where"),
    [
        ("x = 1\ndef handler(:\n", "Runtime.UserCodeSyntaxError", "f-background.py:2"),
        ("\nimport not_there_at_all\n", "Runtime.ImportModuleError", "f-background.py:2: ModuleNotFoundError"),
        ("import sys\nsys.exit(3)\n", "Runtime.ImportModuleError", "f-background.py:2: SystemExit: 3"),
        ("def handle(event, context): pass\n", "Runtime.HandlerNotFound", "f-background.py"),
        ("handler = 5\n", "Runtime.HandlerNotFound", "f-background.py"),
    ],
)
async def test_module_that_does_not_load_fails_the_run(tmp_path: Path, source: str, kind: str, where: str) -> None:
    outcome = await run_one(tmp_path, source)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, JobReason.ERROR)
    assert outcome.error is not None
    assert outcome.error.type == kind
    assert where in outcome.error.message


async def test_mended_module_is_picked_up_at_once(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f-background.py": "print('loading')\nraise ValueError('aa')\n"}) as pool:
        first = await pool.run(call("f-background"))
        # Just as long, and within the same second: what a cached compilation would be mistaken for.
        (tmp_path / "f-background.py").write_text("handler = lambda event, context: 'mended'\n")
        second = await pool.run(call("f-background"))
    assert first.reason is JobReason.ERROR
    assert lines(first) == ["loading"]
    assert second.result is not None
    assert second.result.body == b'"mended"'


async def test_event_and_context_are_as_documented(tmp_path: Path) -> None:
    source = """
        def handler(event, context):
            left = context.get_remaining_time_in_millis()
            assert 0 < left <= 20_000, left
            names = ("function_name", "function_version", "invoked_function_arn", "memory_limit_in_mb",
                     "client_context", "identity", "attempt", "max_attempts", "batch_id", "parent_id")
            assert context.aws_request_id == context.job_id
            assert context.log_group_name and context.log_stream_name
            return {"event": event, "id": context.job_id, **{name: getattr(context, name) for name in names}}
        """
    async with pool_of(tmp_path, {"f-background.py": source}) as pool:
        asked = call("f-background", b'{"body":"\xc3\xa4","n":[1]}', attempt=2)
        outcome = await pool.run(asked)
    assert outcome.result is not None
    assert json.loads(outcome.result.body) == {
        "event": {"body": "ä", "n": [1]}, "id": asked.id, "function_name": "f-background",
        "function_version": "$LATEST", "invoked_function_arn": "arn:sendoff:function:f-background",
        "memory_limit_in_mb": "1024", "client_context": None, "identity": None,
        "attempt": 2, "max_attempts": 3, "batch_id": None, "parent_id": None,
    }  # fmt: skip


async def test_async_handlers_share_one_event_loop(tmp_path: Path) -> None:
    source = """
        import asyncio, sys
        seen = []
        async def handler(event, context):
            await asyncio.sleep(0)
            seen.append(asyncio.get_running_loop())
            if len(seen) == 2:
                sys.exit(1)
            return {"same": seen[0] is seen[-1], "n": len(seen)}
        """
    settings = {"f-background": FunctionSettings(concurrency=1)}
    async with pool_of(tmp_path, {"f-background.py": source}, settings=settings) as pool:
        outcomes = [await pool.run(call("f-background")) for _ in range(3)]
    assert [outcome.reason for outcome in outcomes] == [None, JobReason.ERROR, None]
    assert outcomes[2].result is not None
    assert json.loads(outcomes[2].result.body) == {"same": True, "n": 3}


async def test_a_function_has_the_environment_that_its_settings_name_and_no_other_function_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    source = """
        import os
        def handler(event, context):
            return [os.environ.get("KEY"), os.environ.get("LANG")]
        """
    files = {"a-background.py": source, "b-background.py": source}
    given = FunctionSettings(env={"KEY": Secret("of a"), "LANG": Secret("de_DE")})
    async with pool_of(tmp_path, files, settings={"a-background": given}) as pool:
        outcomes = [await pool.run(call(name)) for name in ("a-background", "b-background")]
    seen = [json.loads(outcome.result.body) for outcome in outcomes if outcome.result is not None]
    assert seen == [["of a", "de_DE"], [None, "C.UTF-8"]]


async def test_function_runs_in_its_own_folder_with_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDOFF_SECRET", "xyzzy")
    monkeypatch.setenv("LC_TIME", "C")
    source = """
        import os, sys, threading
        import neighbour
        def handler(event, context):
            return {"cwd": os.getcwd(), "first": sys.path[0], "neighbour": neighbour.WORD, "env": sorted(os.environ),
                    "stdin": sys.stdin.read(), "is_main": threading.current_thread() is threading.main_thread(),
                    "workers": [entry for entry in sys.path if entry.endswith("workers")],
                    "open": os.listdir("/proc/self/fd")}
        """
    files = {"f-background/index.py": source, "f-background/neighbour.py": "WORD = 'hello'\n"}
    async with pool_of(tmp_path, files) as pool:
        outcome = await pool.run(call("f-background"))
    assert outcome.result is not None
    seen = json.loads(outcome.result.body)
    folder = str(tmp_path / "f-background")
    assert (seen["cwd"], seen["first"], seen["neighbour"], seen["workers"]) == (folder, folder, "hello", [])
    assert "SENDOFF_SECRET" not in seen["env"]
    assert {"PATH", "LC_TIME"} <= set(seen["env"])
    assert (seen["stdin"], seen["is_main"]) == ("", True)
    assert len(seen["open"]) == 5  # 0 to 3, and the one that lists them


async def test_function_named_like_a_standard_module_works(tmp_path: Path) -> None:
    source = "import json as j\ndef handler(event, context):\n    return j.loads('[1]')\n"
    async with pool_of(
        tmp_path, {"json/index.py": source}, settings={"json": FunctionSettings(background=True)}
    ) as pool:
        assert (await pool.run(call("json"))).reason is JobReason.BAD_RESPONSE
    assert (await run_one(tmp_path / "b", returning("3"), name="struct-background")).state is RunState.SUCCEEDED


@pytest.mark.parametrize(("size", "reason"), [(1024 * 1024 - 2, None), (1024 * 1024 - 1, JobReason.TOO_LARGE)])
async def test_result_limit_is_exact(tmp_path: Path, size: int, reason: JobReason | None) -> None:
    async with pool_of(tmp_path, {"f-background.py": returning(f"'x' * {size}")}) as pool:
        outcome = await pool.run(call("f-background"))
        again = await pool.run(call("f-background"))
        assert len(pool.processes()) == 1  # too much is no reason to end the process
    assert outcome.reason is again.reason is reason
    assert (outcome.result is None) is (reason is not None)


async def test_event_and_result_of_many_megabytes_pass(tmp_path: Path) -> None:
    source = "def handler(event, context):\n    return {'statusCode': 200, 'body': event['body'] * 4}\n"
    text = b"0123456789abcdef" * (512 * 1024)
    async with pool_of(tmp_path, {"f.py": source}, result_limit=64 * 1024 * 1024) as pool:
        outcome = await pool.run(call("f", b'{"body":"%s"}' % text))
    assert outcome.result is not None
    assert outcome.result.body == text * 4


async def test_names_are_looked_up_before_anything_runs(tmp_path: Path) -> None:
    async with pool_of(tmp_path, {"f.py": returning("1")}) as pool:
        with pytest.raises(UnknownFunctionError):
            await pool.run(call("g"))
        with pytest.raises(BadNameError):
            await pool.run(call("../f"))
        assert pool.processes() == ()
