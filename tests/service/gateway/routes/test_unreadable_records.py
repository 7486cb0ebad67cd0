"""Records that this version cannot read, as the API shows them: one by one, beside all the others."""

import json

import httpx
from redis.asyncio import Redis
from stored_records import FOLDER, OWNER, load_records


async def test_the_api_lists_what_it_can_read_beside_what_it_cannot(
    client: httpx.AsyncClient, redis: Redis
) -> None:
    records = json.loads(max(FOLDER.glob("*.json")).read_text().replace(f"jobs:{OWNER}", "jobs:"))
    await load_records(redis, records, lambda value: value | {"owner": ""} if "owner" in value else value)
    await redis.hset("{refstar}:job:plain", "request", '{"restore":{"knobs":7}}')
    await redis.hset("{refstar}:job:succeeded", "outcome", "{}")
    listed = await client.get("/v1/restorations")
    assert listed.status_code == 200
    shown = {one["id"]: one for one in listed.json()["restorations"]}
    assert set(shown) == {"succeeded", "failed", "plain", "naming", "fetching", "group", "expired"}
    assert shown["succeeded"]["error"]["type"] == "/problems/record-unreadable"
    assert shown["plain"]["status"] == "queued"
    assert (await client.get("/v1/restorations/succeeded")).status_code == 200
    assert (await client.get("/v1/restorations/succeeded/image")).status_code == 409
    assert (await client.delete("/v1/restorations/succeeded")).status_code == 204
