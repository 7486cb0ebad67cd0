"""Every operation of the service as a flow, named as in its OpenAPI document."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from refstar_client.errors import PersonError, RestorationError, WaitError
from refstar_client.flows import Call, Flow, Patience, Pause, attempt, parse_body, parse_retry_after
from refstar_client.options import document_members, form_fields
from refstar_client.resources import (
    Model,
    ModelList,
    Person,
    PersonPage,
    Resource,
    Restoration,
    RestorationPage,
)
from refstar_client.storing import PictureFile
from refstar_client.uploads import FormFile, Picture, form_file

RESTORATIONS = "/v1/restorations"
PEOPLE = "/v1/people"
LONGEST_WAIT = 60.0  # seconds that the service holds an answer for, at most
LEAST_PAUSE = 0.1

Watched = TypeVar("Watched", Restoration, Person)
Page = TypeVar("Page", bound=Resource)


def create_restoration(
    image: Picture | None,
    references: Iterable[Picture],
    people: Sequence[str],
    options: Mapping[str, Any],
    wait: float,
    key: str | None,
    patience: Patience,
) -> Flow[Restoration]:
    files = [] if image is None else [form_file("image", image)]
    files += [form_file("references", one) for one in references]
    call = _submission(RESTORATIONS, files, {**options, "person": people or None}, wait, key)
    return parse_body(Restoration, (yield from attempt(call, patience)))


def read_restoration(restoration: str, wait: float, patience: Patience) -> Flow[Restoration]:
    call = Call("GET", _path(RESTORATIONS, restoration), _prefer(wait), waits=_held(wait))
    return parse_body(Restoration, (yield from attempt(call, patience)))


def wait_for_restoration(restoration: str, within: float | None, patience: Patience) -> Flow[Restoration]:
    return (yield from _wait(Restoration, RESTORATIONS, restoration, ("queued", "running"), within, patience))


def restore(
    image: Picture | None,
    references: Iterable[Picture],
    people: Sequence[str],
    options: Mapping[str, Any],
    within: float | None,
    patience: Patience,
) -> Flow[PictureFile]:
    began = time.monotonic()
    first = LONGEST_WAIT if within is None else min(within, LONGEST_WAIT)
    made = yield from create_restoration(image, references, people, options, first, None, patience)
    if not made.ended:
        left = None if within is None else max(0.0, within - (time.monotonic() - began))
        made = yield from wait_for_restoration(made.id, left, patience)
    if not made.succeeded:
        raise RestorationError(made)
    return (yield from download(made.id, "image", patience))


def download(restoration: str, what: str, patience: Patience) -> Flow[PictureFile]:
    response = yield from attempt(Call("GET", _path(RESTORATIONS, restoration, what)), patience)
    return PictureFile(response.content, response.headers.get("content-type", "").partition(";")[0])


def cancel_restoration(restoration: str, patience: Patience) -> Flow[Restoration]:
    call = Call("POST", _path(RESTORATIONS, restoration, "cancel"))
    return parse_body(Restoration, (yield from attempt(call, patience)))


def delete_restoration(restoration: str, patience: Patience) -> Flow[None]:
    yield from attempt(Call("DELETE", _path(RESTORATIONS, restoration)), patience)


def create_person(
    references: Iterable[Picture],
    options: Mapping[str, Any],
    wait: float,
    key: str | None,
    patience: Patience,
) -> Flow[Person]:
    files = [form_file("references", one) for one in references]
    call = _submission(PEOPLE, files, options, wait, key)
    return parse_body(Person, (yield from attempt(call, patience)))


def update_person(
    person: str,
    references: Iterable[Picture],
    remove: Iterable[int],
    options: Mapping[str, Any],
    wait: float,
    key: str | None,
    patience: Patience,
) -> Flow[Person]:
    files = [form_file("references", one) for one in references]
    options = {**options, "remove": list(remove) or None}
    call = _submission(_path(PEOPLE, person), files, options, wait, key, method="PATCH")
    return parse_body(Person, (yield from attempt(call, patience)))


def read_person(person: str, wait: float, patience: Patience) -> Flow[Person]:
    call = Call("GET", _path(PEOPLE, person), _prefer(wait), waits=_held(wait))
    return parse_body(Person, (yield from attempt(call, patience)))


def wait_for_person(person: str, within: float | None, patience: Patience) -> Flow[Person]:
    ended = yield from _wait(Person, PEOPLE, person, ("preparing",), within, patience)
    if ended.status == "failed":
        raise PersonError(ended)
    return ended


def delete_person(person: str, patience: Patience) -> Flow[None]:
    yield from attempt(Call("DELETE", _path(PEOPLE, person)), patience)


def list_models(patience: Patience) -> Flow[list[Model]]:
    return parse_body(ModelList, (yield from attempt(Call("GET", "/v1/models"), patience))).models


def first_restorations(status: str | None, page_size: int) -> Call:
    """The call for the first page of a list; the page itself says where the next one is."""
    query = {"limit": str(page_size)} | ({"status": status} if status else {})
    return Call("GET", RESTORATIONS, query=query)


def first_people(page_size: int) -> Call:
    return Call("GET", PEOPLE, query={"limit": str(page_size)})


def read_page(kind: type[Page], call: Call, patience: Patience) -> Flow[Page]:
    return parse_body(kind, (yield from attempt(call, patience)))


def next_page(page: RestorationPage | PersonPage) -> Call | None:
    return None if page.next is None else Call("GET", page.next)


def events_path(restoration: str) -> str:
    return _path(RESTORATIONS, restoration, "events")


def _submission(
    path: str,
    files: Sequence[FormFile],
    options: Mapping[str, Any],
    wait: float,
    key: str | None,
    method: str = "POST",
) -> Call:
    """A form with its files, or a JSON document where there are none."""
    headers = {"Idempotency-Key": _quote(key), **_prefer(wait)}
    if files:
        fields = form_fields(options)
        return Call(method, path, headers, fields=fields, files=tuple(files), waits=_held(wait))
    return Call(method, path, headers, document=document_members(options), waits=_held(wait))


def _wait(
    kind: type[Watched],
    base: str,
    name: str,
    unfinished: tuple[str, ...],
    within: float | None,
    patience: Patience,
) -> Flow[Watched]:
    """Held answers for as long as it takes. Where the service holds none (too many wait, or it stops), it is asked
    again after the pause that it names."""
    deadline = math.inf if within is None else time.monotonic() + within
    while True:
        wait = max(0.0, min(LONGEST_WAIT, deadline - time.monotonic()))
        asked_at = time.monotonic()
        call = Call("GET", _path(base, name), _prefer(wait), waits=_held(wait))
        response = yield from attempt(call, patience)
        found = parse_body(kind, response)
        if found.status not in unfinished:
            return found
        now = time.monotonic()
        if now >= deadline:
            raise WaitError(f"{base}/{name} is {found.status} after {within:g} s")
        if now - asked_at < min(wait, 1.0):
            later = parse_retry_after(response.headers.get("retry-after")) or LEAST_PAUSE
            yield Pause(max(LEAST_PAUSE, min(later, deadline - now)))


def name_people(person: str | None, people: Iterable[str]) -> list[str]:
    """All whom a restoration is to name."""
    return [*([] if person is None else [person]), *people]


def _path(base: str, name: str, *more: str) -> str:
    # Names come from the service; one that is empty or has a slash would be another address.
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"{name!r} is no id of {base.rpartition('/')[2]}")
    return "/".join((base, name, *more))


def _prefer(wait: float) -> dict[str, str]:
    return {"Prefer": f"wait={math.ceil(_held(wait))}"} if wait > 0 else {}


def _held(wait: float) -> float:
    return max(0.0, min(wait, LONGEST_WAIT))


def _quote(key: str | None) -> str:
    """As a string of RFC 9651. The same key for every try of a request: it is carried out once."""
    text = str(uuid.uuid4()) if key is None else key
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError(f"an idempotency key is printable ASCII, not {text!r}")
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
