"""What pydantic finds wrong with a request, in sentences: a table from kinds of errors to phrases.

A phrase completes "<parameter> ...": "model must have at most 64 characters", "limit must be a whole number, not 'a'".
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic_core import ErrorDetails

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.restoration.errors import Fault

LONGEST_VALUE = 80  # characters of a value that are shown

#: What the value must be, by the kind of error; its limits are filled in.
_PHRASES = {
    "missing": "is required",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "greater_than": "must be more than {gt:g}",
    "less_than": "must be less than {lt:g}",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}
#: Kinds whose phrase says all there is to say, so that the value is not shown.
_WITHOUT_VALUE = {"missing", "string_too_long", "value_error"}


def report_invalid_parameters(errors: Sequence[ErrorDetails], faults: Sequence[Fault] = ()) -> ProblemError:
    """The problem that lists all errors, and then the ``faults`` of knobs, each with parameter, value and reason."""
    listed, sentences = [], []
    for error in errors:
        reason = explain_error(error["type"], error.get("ctx", {}), error["msg"])
        name = _name_parameter(error["loc"])
        value = show_value(name, error["input"])
        shown = "" if error["type"] in _WITHOUT_VALUE or not value else f", not {value!r}"
        listed.append({"parameter": name, "value": value, "reason": reason})
        sentences.append(f"{name} {reason}{shown}")
    for fault in faults:
        listed.append(asdict(fault) | {"value": fault.value[:LONGEST_VALUE]})
        sentences.append(f"{fault.parameter} {fault.reason}")
    return ProblemError(ProblemType.INVALID_PARAMETER, f"{'; '.join(sentences)}.", errors=listed)


def show_value(name: str, value: object) -> str:
    """A value as far as it is shown: its beginning, and nothing of a URL, which may hold a secret."""
    return "" if "_url" in name else str(value)[:LONGEST_VALUE]


def explain_error(kind: str, context: Mapping[str, Any], message: str) -> str:
    """The phrase for an error of pydantic; its own message for a kind that the table does not know."""
    phrase = _PHRASES.get(kind)
    return message if phrase is None else phrase.format(**context)


def _name_parameter(location: Sequence[int | str]) -> str:
    # FastAPI begins with where it looked; the name is enough for a reader.
    places = ("query", "path", "header", "cookie", "body")
    names = location[1:] if len(location) > 1 and location[0] in places else location
    return ".".join(map(str, names))
