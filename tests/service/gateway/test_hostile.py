"""Everything in the corpus of bad files and requests is refused, by the right name, and leaves nothing behind."""

from typing import Any

import httpx
from fastapi import FastAPI
from hostile_files import BadFile, bad_files, photo, saved
from hostile_requests import FORM, BadRequest, bad_requests, field, file_part, form
from redis.asyncio import Redis
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import MEDIA_TYPE
from refstar_service.images import ImageError, ImageLimits, probe
from refstar_service.images.decode import decode

Wrong = list[tuple[str, str, object]]


def told(wrong: Wrong) -> str:
    return "\n".join(f"{name}: {found}, not {problem}" for name, problem, found in wrong)


async def refusal(client: httpx.AsyncClient, request: BadRequest) -> object:
    """The problem's slug of a proper refusal, else what came instead."""
    # As it stands: a client that tidies addresses up would not send what is to be tested.
    url = httpx.URL("http://localhost").copy_with(raw_path=request.path.encode())
    headers = [(name.encode(), value.encode()) for name, value in request.headers]
    response = await client.request(request.method, url, headers=headers, content=request.body)
    if not 400 <= response.status_code < 500 or response.headers["content-type"] != MEDIA_TYPE:
        return response.status_code, response.text[:200]
    problem: dict[str, Any] = response.json()
    slug = str(problem["type"]).removeprefix("/problems/")
    kind = ProblemType.of(slug)
    complete = all(problem.get(name) for name in ("title", "detail", "instance", "request_id"))
    if kind is None or kind.status != response.status_code or not complete:
        return problem
    return slug


def requests_with(bad: BadFile) -> list[BadRequest]:
    """The file as the picture, and as the second reference of a good one."""
    good = saved(photo(64, 64), "png")
    aligned = field("faces", "all")
    part = file_part("image", bad.data, bad.claim)
    beside = [
        file_part("image", good),
        file_part("references", good),
        file_part("references", bad.data, bad.claim),
    ]
    return [
        BadRequest(bad.name, bad.problem, "POST", headers=FORM, body=form(part, aligned)),
        BadRequest(f"reference: {bad.name}", bad.problem, "POST", headers=FORM, body=form(*beside, aligned)),
    ]


def test_the_corpus_is_large_and_its_names_tell_its_cases_apart() -> None:
    names = [bad.name for bad in bad_files()] + [bad.name for bad in bad_requests()]
    assert len(names) >= 300
    assert len(set(names)) == len(names)
    problems = {bad.problem for bad in bad_files()} | {bad.problem for bad in bad_requests()}
    assert all(ProblemType.of(problem) is not None for problem in problems)


async def test_every_bad_file_is_refused_as_what_it_is(
    client: httpx.AsyncClient, redis: Redis, app: FastAPI
) -> None:
    wrong: Wrong = []
    for bad in bad_files():
        for request in requests_with(bad) if not bad.in_worker else ():
            found = await refusal(client, request)
            if found != bad.problem:
                wrong.append((request.name, bad.problem, found))
    assert not wrong, told(wrong)
    assert await redis.keys("*restoration*") == []
    assert await app.state.gateway.queue.depth() == {"normal": 0, "high": 0}
    assert [key async for key in redis.scan_iter("*blob*")] == []


def test_every_file_that_is_damaged_inside_is_refused_when_it_is_decoded() -> None:
    wrong: Wrong = []
    limits = ImageLimits()
    for bad in bad_files():
        if bad.in_worker:
            probe(bad.data, limits)
            try:
                decode(bad.data, limits)
                wrong.append((bad.name, bad.problem, "decoded"))
            except ImageError as refused:
                if refused.code != bad.problem:
                    wrong.append((bad.name, bad.problem, str(refused)))
    assert not wrong, told(wrong)


async def test_every_bad_request_is_refused_as_what_it_is(
    client: httpx.AsyncClient, redis: Redis, app: FastAPI
) -> None:
    wrong: Wrong = []
    for request in bad_requests():
        found = await refusal(client, request)
        if found != request.problem:
            wrong.append((f"{request.method} {request.name}", request.problem, found))
    assert not wrong, told(wrong)
    assert await app.state.gateway.queue.depth() == {"normal": 0, "high": 0}
    assert [key async for key in redis.scan_iter("*blob*")] == []
