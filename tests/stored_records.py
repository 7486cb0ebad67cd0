"""Records as a version of the service stores them: written by the code here, kept as JSON, put back into a Redis.

`tests/service/records` has a file for each form that records have had. When they take a new one, write its file and
keep those that are there: `python tests/stored_records.py > tests/service/records/NUMBER.json`.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from refstar_service.access.key import ApiKey, Limits, Token
from refstar_service.access.redis import RedisKeys
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import (
    EnrollRequest,
    JobFailure,
    JobQueue,
    JobResult,
    JobStatus,
    Outcome,
    PersonReference,
    Progress,
    RemoteFile,
    RestoreRequest,
    Stage,
    StoredFile,
    StoredPerson,
)
from refstar_service.people import Amendment, PeopleStore
from refstar_service.redis.embedded import EmbeddedRedis
from refstar_service.restoration.knobs import Knobs, ReferenceFace
from refstar_service.restoration.report import FaceAction, FaceReport, ReferenceReport

FOLDER = Path(__file__).parent / "service" / "records"
OWNER = "ada"
HOOK = "https://receiver.example/hook"
_ENTRY = re.compile(r"\d{13,}-\d+")  # of a stream, which is named by its moment


def _file(name: str) -> StoredFile:
    return StoredFile(f"k/{name}", "ab" * 32, "image/png", 1234, name, 4096)


POINTS = ((9.0, 14.5), (21.0, 14.0), (15.0, 22.0), (10.0, 30.0), (20.0, 30.0))
FACE = FaceReport((1.0, 2.0, 30.5, 40.0), 0.98, FaceAction.RESTORED, None, (0.4, 0.1), POINTS)
GOOD = ReferenceReport(1, "a.png", (3.0, 4.0, 200.0, 220.0), 0.99, 209.8, 0.6, True, None)
BAD = ReferenceReport(2, "b.png", None, None, None, None, False, "reference-without-face")
KNOBS = Knobs(
    faces=FaceMode.BOXES,
    boxes=((1.0, 2.0, 30.0, 40.0),),
    upscale=2,
    reference_face=ReferenceFace.LARGEST,
    fidelity=0.7,
    keep_location=True,
)
REFERENCES = (PersonReference(GOOD, _file("crop.png")), PersonReference(BAD, None))
PLAIN = RestoreRequest(
    _file("1.png"), (_file("a.png"), _file("b.png")), "refstar", KNOBS, None, "r-1", "00-t"
)
NAMING = RestoreRequest(_file("2.png"), (), "refstar", KNOBS, StoredPerson("known", REFERENCES), "r-2")
FETCHING = RestoreRequest(
    RemoteFile("https://files.example/3.png?sig=1", "3.png"),
    (_file("a.png"), RemoteFile("https://files.example/d.png", "d.png")),
    "refstar",
    KNOBS,
    request_id="r-4",
    output_url="https://out.example/3.png?sig=2",
)
GROUP = RestoreRequest(
    _file("3.png"),
    (),
    "refstar",
    KNOBS,
    StoredPerson("known", REFERENCES),
    "r-5",
    others=(StoredPerson("other", REFERENCES),),
)
ENROLLING = EnrollRequest((_file("c.png"),), ReferenceFace.LARGEST, aligned=True, request_id="r-3")
CHANGING = EnrollRequest((_file("d.png"),), request_id="r-5", person="known", first=3, remove=(2,))
SUCCESS = Outcome(
    JobStatus.SUCCEEDED,
    JobResult(_file("result.png"), _file("selection.png")),
    None,
    (FACE,),
    {"infer": 0.25},
    (GOOD, BAD),
)
FAILURE = Outcome(JobStatus.FAILED, None, JobFailure("image-undecodable", "not this one"), (), {})

KEY = ApiKey(
    OWNER, (Token("0123456789abcdef", "ab" * 32, 1.0),), ("whsec_" + 43 * "A" + "=",), Limits(unfinished=3)
)

REQUESTS = {
    "plain": PLAIN,
    "naming": NAMING,
    "fetching": FETCHING,
    "group": GROUP,
    "enrolling": ENROLLING,
    "changing": CHANGING,
}


async def write_records(redis: Redis) -> None:
    """One of each: jobs that ended well and badly, were given up and wait; people ready, failed and new; an API key."""
    queue, people = JobQueue(redis), PeopleStore(redis)
    for name, outcome in (("succeeded", SUCCESS), ("failed", FAILURE)):
        await queue.submit(name, PLAIN, owner=OWNER)
        [started] = await queue.start(await queue.reserve(1))
        assert started is not None
        await queue.report([(started, Progress(Stage.RESTORING, 1, 2))])
        await queue.finish([(started, outcome)])
    await queue.submit("expired", NAMING, owner=OWNER)
    [begun] = await queue.start(await queue.reserve(1))
    assert begun is not None
    await redis.delete("{refstar}:job:expired")
    await queue.release([begun])
    for name, request in REQUESTS.items():
        told = HOOK if name == "plain" else ""
        await queue.submit(name, request, owner=OWNER, webhook=told, holder="h-1" if told else "")
    for name in ("known", "refused", "enrolling"):
        await people.add(name, owner=OWNER, name="Ada", request_id="r-9", limit=9, ttl=600)
    await people.ready("known", REFERENCES, ["e1"])
    await people.amend("known", lambda person: Amendment(change="changing", numbered=3))
    await people.fail("refused", JobFailure("several-faces", "two"), [PersonReference(BAD, None)], ttl=600)
    await RedisKeys(redis).change(OWNER, lambda _: KEY)
    await queue.aclose()


async def dump_records(redis: Redis) -> dict[str, Any]:
    """Everything that is in it, by type; without groups of consumers, which queues make by themselves, and without the
    lists that call workers, which last for seconds."""
    dumped: dict[str, Any] = {}
    for key in sorted(one.decode() for one in await redis.keys("*")):
        match (await redis.type(key)).decode():
            case "hash":
                dumped[key] = {"hash": _texts(await redis.hgetall(key))}
            case "string":
                dumped[key] = {"string": (await redis.get(key)).decode()}
            case "zset":
                rows = await redis.zrange(key, 0, -1, withscores=True)
                dumped[key] = {"zset": {member.decode(): score for member, score in rows}}
            case "stream":
                rows = await redis.xrange(key)
                dumped[key] = {"stream": [[entry.decode(), _texts(fields)] for entry, fields in rows]}
            case "set":
                dumped[key] = {"set": sorted(member.decode() for member in await redis.smembers(key))}
            case "list" if ":call:" in key:
                pass
            case kind:
                raise AssertionError(f"{key} is a {kind}")
    return dumped


async def load_records(
    redis: Redis, records: dict[str, Any], change: Callable[[Any], Any] = lambda value: value
) -> None:
    """`change`: applied to every stored JSON value, and to every hash of a job or a person."""
    for key, record in records.items():
        ((kind, value),) = record.items()
        match kind:
            case "hash":
                fields = {name: _changed(text, change) for name, text in value.items()}
                of_interest = ":job:" in key or ":person:" in key
                await redis.hset(key, mapping=change(fields) if of_interest else fields)
            case "string":
                await redis.set(key, _changed(value, change))
            case "zset":
                await redis.zadd(key, value)
            case "stream":
                for entry, fields in value:
                    await redis.xadd(key, fields, id=entry)
            case "set":
                await redis.sadd(key, *value)


def shape_of(records: dict[str, Any]) -> Any:
    """Which members there are and of which type, without their values."""
    return {key: _shape(record) for key, record in sorted(records.items())}


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in fields.items()}


def _changed(text: str, change: Callable[[Any], Any]) -> str:
    return json.dumps(change(json.loads(text))) if text[:1] in "{[" else text


def _shape(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = json.loads(value)
    if isinstance(value, dict):
        return {_ENTRY.sub("<entry>", name): _shape(member) for name, member in sorted(value.items())}
    return [_shape(member) for member in value] if isinstance(value, list) else type(value).__name__


async def _main() -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder)) as server:
        async with Redis.from_url(server.url) as redis:
            await write_records(redis)
            json.dump(await dump_records(redis), sys.stdout, indent=1, ensure_ascii=False)
            print()


if __name__ == "__main__":
    asyncio.run(_main())
