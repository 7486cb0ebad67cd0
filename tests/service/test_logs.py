import json
import logging

from refstar_service.logs import JsonLines


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
