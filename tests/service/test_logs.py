import asyncio
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from refstar_service import logs
from refstar_service.logs import JsonLines, bind_fields


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process that was told to log as JSON writes."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure_logging("info", as_json=True)
    return stream


def test_a_json_line_carries_what_the_record_was_given() -> None:
    record = logging.makeLogRecord(
        {"name": "refstar", "levelname": "INFO", "msg": "job %s", "args": ("7",), "job": "7"}
    )
    line = json.loads(JsonLines().format(record))
    assert (line["message"], line["level"], line["job"]) == ("job 7", "info", "7")
    assert line["time"].endswith("Z")


def test_an_error_is_one_line_with_its_traceback() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        record = logging.LogRecord(
            "refstar", logging.ERROR, "", 1, "failed", None, (type(error), error, error.__traceback__)
        )
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "ValueError: no" in json.loads(text)["error"]


async def test_lines_carry_the_ids_of_the_task_that_logs_them(lines: io.StringIO) -> None:
    async def work(job: str) -> None:
        with bind_fields(job=job, attempt=2):
            await asyncio.sleep(0)
            logging.getLogger("refstar").info("at work")
        logging.getLogger("refstar").info("after")

    with bind_fields(request_id="r-1", job=""):
        await asyncio.gather(work("a"), work("b"))
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert sorted((line["message"], line.get("job")) for line in told) == [
        ("after", None),
        ("after", None),
        ("at work", "a"),
        ("at work", "b"),
    ]
    assert {line["request_id"] for line in told} == {"r-1"}
    assert [line["attempt"] for line in told if "job" in line] == [2, 2]


def test_a_thread_that_is_given_the_context_logs_its_ids_too(lines: io.StringIO) -> None:
    with ThreadPoolExecutor(1) as pool, bind_fields(job="a"):
        pool.submit(copy_context().run, logging.getLogger("refstar").info, "in a thread").result()
    assert json.loads(lines.getvalue())["job"] == "a"


def test_lines_for_people_name_the_ids_that_the_message_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure_logging("info", as_json=False)
    with bind_fields(job="j-1", attempt=1):
        logging.getLogger("refstar").info("job j-1 ended")
    logging.getLogger("refstar").info("nothing special")
    first, second = stream.getvalue().splitlines()
    assert first.endswith("job j-1 ended [attempt=1]")
    assert second.endswith("refstar: nothing special")
