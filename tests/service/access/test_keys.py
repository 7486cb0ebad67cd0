"""API keys as values and as they are stored: hashes only, changed all or nothing, seen at once."""

import asyncio
import hashlib
import json
import stat
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from refstar_service.access import ApiKey, KeyStore, Limits
from refstar_service.access.file import FileKeys, KeyFileError
from refstar_service.access.key import token_id
from refstar_service.access.redis import RedisKeys

NewStore = Callable[[], KeyStore]


@pytest.fixture(params=["file", "redis"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path, redis: Redis) -> NewStore:
    """Makes a store as another process would have it: the same place, nothing remembered."""
    return lambda: FileKeys(tmp_path / "keys.json") if request.param == "file" else RedisKeys(redis)


def test_a_token_opens_its_key_and_no_other() -> None:
    key, token = ApiKey("ada").with_token(1.0)
    other, _ = ApiKey("bob").with_token(1.0)
    assert key.opens(token)
    assert not other.opens(token)
    assert not key.opens(token[:-1])
    assert not key.opens(token + "=")
    assert not key.opens("")
    assert not ApiKey("nobody").opens(token)
    assert token_id(token) == key.tokens[0].id


def test_only_the_hash_of_a_token_is_kept() -> None:
    key, token = ApiKey("ada").with_token(1.0)
    secret = token[-43:]
    assert secret not in key.to_json()
    assert secret not in repr(key)
    assert key.tokens[0].digest == hashlib.sha256(token.encode()).hexdigest()
    assert ApiKey.from_json(key.to_json()) == key


def test_tokens_are_long_and_differ() -> None:
    tokens = {ApiKey("ada").with_token(1.0)[1] for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == len("refstar_") + 16 + len("_") + 43 for token in tokens)


def test_a_secret_of_webhooks_is_not_shown() -> None:
    key = ApiKey("ada").with_webhook_secret()
    assert key.webhook_secrets[0] not in repr(key)
    again = key.with_webhook_secret()
    assert again.webhook_secrets[1:] == key.webhook_secrets
    assert len(again.with_webhook_secret().webhook_secrets) == 2
    assert again.with_newest_webhook_secret_only().webhook_secrets == again.webhook_secrets[:1]


@pytest.mark.parametrize("name", ["", "Ada", "a b", "-a", "a:b", "a{b}", "a\n", "ä", "a" * 65])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a key"):
        ApiKey(name)


@pytest.mark.parametrize(
    "text", ["", "abc", "refstar_", "refstar_0_x", "Bearer refstar_0123456789abcdef_" + "x" * 43]
)
def test_what_has_not_the_form_of_a_token_is_not_even_looked_up(text: str) -> None:
    assert token_id(text) is None


def test_limits_of_a_key_come_before_those_for_all() -> None:
    assert Limits(10, None, 0).or_else(Limits(600, 5, 200)) == Limits(10, 5, 0)


OF_A_LATER_VERSION = {
    "name": "ada",
    "tokens": [{"id": "0123456789abcdef", "digest": "ab" * 32, "created_at": 1.0, "scope": ["read"]}],
    "webhook_secrets": [],
    "limits": {"requests_per_minute": 7, "gigabytes": 3},
    "team": {"name": "lovelace"},
}


async def store_record(store: KeyStore, redis: Redis, record: dict[str, Any]) -> None:
    if isinstance(store, FileKeys):
        store.path.write_text(json.dumps({"keys": [record]}))
    else:
        await redis.hset("{refstar}:keys", "ada", json.dumps(record))
        await redis.hset("{refstar}:key-tokens", "0123456789abcdef", "ada")


async def read_record(store: KeyStore, redis: Redis) -> Any:
    if isinstance(store, FileKeys):
        return json.loads(store.path.read_text())["keys"][0]
    return json.loads(await redis.hget("{refstar}:keys", "ada"))


async def test_what_a_later_version_wrote_is_ignored_and_kept(new_store: NewStore, redis: Redis) -> None:
    store = new_store()
    await store_record(store, redis, OF_A_LATER_VERSION)
    key = await store.of_token("0123456789abcdef")
    assert key is not None
    assert (key.tokens[0].digest, key.limits) == ("ab" * 32, Limits(requests_per_minute=7))

    await store.change("ada", lambda found: found and replace(found, limits=Limits(3)).with_token(2.0)[0])
    stored = await read_record(store, redis)
    assert stored["team"] == {"name": "lovelace"}
    assert (stored["limits"]["requests_per_minute"], stored["limits"]["gigabytes"]) == (3, 3)
    assert stored["tokens"][0]["scope"] == ["read"]
    assert len(stored["tokens"]) == 2


@pytest.mark.parametrize("missing", ["tokens", "webhook_secrets", "limits"])
async def test_what_a_key_lacks_has_its_default(missing: str, new_store: NewStore, redis: Redis) -> None:
    record = {name: value for name, value in OF_A_LATER_VERSION.items() if name != missing}
    await store_record(new_store(), redis, record)
    key = await new_store().get("ada")
    assert key is not None
    assert getattr(key, missing) == getattr(ApiKey("ada"), missing)


def test_a_record_that_is_no_key_is_an_error_that_does_not_show_it() -> None:
    record = {**OF_A_LATER_VERSION, "webhook_secrets": [["whsec_secret"]]}
    with pytest.raises(ValueError, match=r"webhook_secrets\.0 is missing or of another kind") as caught:
        ApiKey.from_json(json.dumps(record))
    assert "whsec_secret" not in "".join(traceback.format_exception(caught.value))


async def test_what_one_process_changes_another_sees_at_once(new_store: NewStore) -> None:
    ours, theirs = new_store(), new_store()
    key, token = ApiKey("ada", limits=Limits(unfinished=3)).with_token(1.0)
    identity = token_id(token)
    assert identity is not None
    assert await theirs.of_token(identity) is None
    assert await ours.change("ada", lambda _: key) == key
    assert await theirs.of_token(identity) == key
    assert await theirs.get("ada") == key
    assert await theirs.names() == ["ada"]

    more, second = key.with_token(2.0)
    await theirs.change("ada", lambda _: more)
    assert await ours.of_token(token_id(second) or "") == more

    await ours.change("ada", lambda found: found and found.without_token(identity))
    assert await theirs.of_token(identity) is None
    assert (await theirs.get("ada") or key).opens(second)

    await ours.change("ada", lambda _: None)
    assert await theirs.of_token(token_id(second) or "") is None
    assert await theirs.names() == []


async def test_changes_at_the_same_time_are_all_kept(new_store: NewStore) -> None:
    def one_more(found: ApiKey | None) -> ApiKey:
        return (found or ApiKey("ada")).with_token(1.0)[0]

    await asyncio.gather(*(new_store().change("ada", one_more) for _ in range(8)))
    key = await new_store().get("ada")
    assert key is not None
    assert len(key.tokens) == 8
    for token in key.tokens:
        assert await new_store().of_token(token.id) == key


async def test_a_change_that_fails_changes_nothing(new_store: NewStore) -> None:
    store = new_store()
    key = ApiKey("ada").with_token(1.0)[0]
    await store.change("ada", lambda _: key)
    with pytest.raises(ValueError, match="has no token"):
        await store.change("ada", lambda found: found and found.without_token("0" * 16))
    assert await new_store().get("ada") == key


async def test_the_file_is_its_owner_s_alone_and_never_half_written(tmp_path: Path) -> None:
    store = FileKeys(tmp_path / "deep" / "keys.json")
    assert await store.names() == []
    await store.change("ada", lambda _: ApiKey("ada").with_token(1.0)[0])
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert [key["name"] for key in json.loads(store.path.read_text())["keys"]] == ["ada"]
    assert sorted(path.name for path in store.path.parent.iterdir()) == [".keys.json.lock", "keys.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"keys": [{"tokens": []}]}', "whsec_secret"])
async def test_a_file_that_holds_no_keys_is_an_error_that_does_not_show_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(KeyFileError, match="holds no API keys") as caught:
        await FileKeys(path).names()
    assert "whsec_secret" not in str(caught.value)


async def test_a_folder_in_the_place_of_the_file_is_named_with_its_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "keys.json"
    folder.mkdir()
    with pytest.raises(
        KeyFileError, match=r"keys\.json cannot be read .* Is a directory; set REFSTAR_KEYS_FILE"
    ):
        await FileKeys(folder).of_token("0" * 16)
