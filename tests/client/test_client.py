"""refstar-client against a real service: every operation, as programs use it."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_type_hints

import httpx
import pytest
from file_server import serve_files
from pictures import degraded_face, file_of, pixels_of
from refstar_client import (
    AsyncClient,
    Client,
    InvalidRequestError,
    NotFoundError,
    Patience,
    PersonError,
    RestorationError,
    RestorationOptions,
    verify_webhook,
)
from refstar_client import resources as answers
from refstar_service.gateway.routes import models as served_models
from refstar_service.gateway.routes import resources as served_answers
from refstar_service.restoration.knobs import KNOBS
from small_model import SIDE
from webhook_receiver import Receiver


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


def test_a_picture_goes_in_and_the_restored_one_comes_out(
    client: Client, photograph: Path, reference: Path
) -> None:
    restored = client.restore(photograph, references=[reference], faces="aligned", format="png")
    assert pixels_of(restored.data).shape == (SIDE, SIDE, 3)
    assert restored.media_type == "image/png"


def test_every_kind_of_picture_gives_the_same_result(client: Client, photograph: Path) -> None:
    data = photograph.read_bytes()
    with photograph.open("rb") as file:
        results = {
            client.restore(picture, faces="aligned")
            for picture in (photograph, str(photograph), data, io.BytesIO(data), file, ("granny.png", data))
        }
    assert len(results) == 1


def test_a_restoration_is_created_waited_for_read_downloaded_and_deleted(
    client: Client, photograph: Path, reference: Path, tmp_path: Path
) -> None:
    created = client.create_restoration(photograph, references=[reference], faces="aligned", fidelity=0.25)
    ended = client.wait_for_restoration(created.id, within=30)
    assert ended.succeeded
    assert client.read_restoration(created.id) == ended
    assert [one.used for one in ended.references] == [True]
    image = client.download_image(created.id)
    image.write(tmp_path / "new" / "restored.png")
    assert (tmp_path / "new" / "restored.png").read_bytes() == image.data
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["restored.png"]
    assert pixels_of(client.download_selection(created.id).data).shape == (SIDE, SIDE, 3)
    client.delete_restoration(created.id)
    client.delete_restoration(created.id)
    with pytest.raises(NotFoundError) as caught:
        client.read_restoration(created.id)
    assert caught.value.slug == "unknown-restoration"
    assert caught.value.request_id


def test_events_tell_every_state_up_to_the_end(client: Client, photograph: Path) -> None:
    created = client.create_restoration(photograph, faces="aligned")
    states = [state.status for state in client.stream_events(created.id)]
    assert states[-1] == "succeeded"
    assert states.count("succeeded") == 1
    assert [state.status for state in client.stream_events(created.id)] == ["succeeded"]


def test_the_same_idempotency_key_makes_one_restoration(client: Client, photograph: Path) -> None:
    first, second = (
        client.create_restoration(photograph, faces="aligned", idempotency_key='of "granny"')
        for _ in range(2)
    )
    other = client.create_restoration(photograph, faces="aligned")
    assert first.id == second.id != other.id


def test_lists_are_read_page_by_page(client: Client, photograph: Path) -> None:
    made = [client.create_restoration(photograph, faces="aligned", wait=30).id for _ in range(3)]
    listed = [one.id for one in client.list_restorations(status="succeeded", page_size=2)]
    assert [one for one in listed if one in made] == made[::-1]


def test_a_person_is_stored_named_listed_and_deleted(
    client: Client, photograph: Path, reference: Path
) -> None:
    person = client.create_person([reference], name="Granny", aligned=True)
    ready = client.wait_for_person(person.id, within=30)
    assert (ready.name, ready.status, len(ready.references)) == ("Granny", "ready", 1)
    assert person.id in [one.id for one in client.list_people(page_size=1)]
    done = client.create_restoration(photograph, person=person.id, faces="aligned", wait=30)
    assert done.person == person.id
    client.delete_person(person.id)
    with pytest.raises(NotFoundError):
        client.read_person(person.id)


def test_a_person_is_renamed_given_references_and_rid_of_some(client: Client, reference: Path) -> None:
    person = client.create_person([reference], name="Granny", aligned=True)
    client.wait_for_person(person.id, within=30)
    renamed = client.update_person(person.id, name="Grandmother")
    assert (renamed.name, renamed.status) == ("Grandmother", "ready")
    changed = client.update_person(person.id, references=[reference, reference], aligned=True, wait=30)
    assert [one.index for one in changed.references] == [1, 2, 3]
    left = client.update_person(person.id, remove=[1, 3])
    assert [one.index for one in left.references] == [2]
    assert client.read_person(person.id) == left
    client.delete_person(person.id)


def test_several_people_are_named_in_one_restoration(
    client: Client, photograph: Path, reference: Path
) -> None:
    first, second = (client.create_person([reference], name=name, aligned=True) for name in ("Ada", "Ben"))
    for one in (first, second):
        client.wait_for_person(one.id, within=30)
    done = client.create_restoration(
        photograph, people=[first.id, second.id], faces="aligned", format="png", wait=30
    )
    assert (done.person, done.people) == (None, [first.id, second.id])
    assert [one.person for one in done.references] == [first.id, second.id]
    assert done.faces[0].person in (first.id, second.id, None)
    image = client.download_image(done.id)
    assert image == client.restore(
        photograph, person=first.id, people=[second.id], faces="aligned", format="png"
    )
    for one in (first, second):
        client.delete_person(one.id)


def test_a_person_whose_references_show_nobody_is_an_error_that_says_so(client: Client) -> None:
    person = client.create_person([("wall.png", file_of(degraded_face()[:64, :64] * 0 + 90))])
    with pytest.raises(PersonError, match="reference-without-face") as caught:
        client.wait_for_person(person.id, within=30)
    assert caught.value.person.id == person.id


def test_a_refused_value_is_an_error_that_names_it(client: Client, photograph: Path) -> None:
    with pytest.raises(InvalidRequestError, match="invalid-parameter") as caught:
        client.create_restoration(photograph, fidelity=3.0)
    assert caught.value.status == 422
    assert caught.value.members["errors"][0]["parameter"] == "fidelity"


def test_a_photograph_without_a_face_is_an_error_that_has_the_restoration(client: Client) -> None:
    with pytest.raises(RestorationError, match="no-face-found") as caught:
        client.restore(("wall.png", file_of(degraded_face()[:64, :64] * 0 + 90)))
    assert caught.value.restoration.status == "failed"


def test_canceling_what_has_ended_changes_nothing(client: Client, photograph: Path) -> None:
    done = client.create_restoration(photograph, faces="aligned", wait=30)
    assert client.cancel_restoration(done.id) == done


def test_models_say_where_they_come_from(client: Client) -> None:
    assert [(model.name, model.license) for model in client.list_models()] == [("refstar", "Apache-2.0")]


async def test_the_async_client_does_all_of_it(url: str, photograph: Path, reference: Path) -> None:
    async with AsyncClient(url) as client:
        person = await client.wait_for_person((await client.create_person([reference], aligned=True)).id)
        created = await client.create_restoration(photograph, person=person.id, faces="aligned")
        states = [state.status async for state in client.stream_events(created.id)]
        assert states[-1] == "succeeded"
        ended = await client.wait_for_restoration(created.id)
        assert ended == await client.read_restoration(created.id)
        image = await client.download_image(created.id)
        assert (await client.download_selection(created.id)).media_type == "image/png"
        assert image == await client.restore(photograph, person=person.id, faces="aligned")
        assert created.id in [one.id async for one in client.list_restorations(page_size=1)]
        assert person.id in [one.id async for one in client.list_people(page_size=1)]
        assert await client.cancel_restoration(created.id) == ended
        await client.delete_restoration(created.id)
        changed = await client.update_person(person.id, name="Granny", references=[reference], aligned=True)
        assert changed.name == "Granny"
        assert changed.status in ("preparing", "ready")  # a worker may have been quicker than the answer
        ready = await client.wait_for_person(person.id)
        assert [one.index for one in ready.references] == [1, 2]
        await client.delete_person(person.id)
        assert [model.name for model in await client.list_models()] == ["refstar"]


async def test_many_restorations_at_once_share_one_client(url: str, photograph: Path) -> None:
    async with AsyncClient(url) as client:
        results = await asyncio.gather(*(client.restore(photograph, faces="aligned") for _ in range(8)))
    assert len(set(results)) == 1


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    async with server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver


async def test_a_webhook_of_the_service_is_verified(url: str, photograph: Path, secret: str) -> None:
    async with AsyncClient(url) as client, receiving() as receiver:
        created = await client.create_restoration(photograph, faces="aligned", webhook_url=receiver.url)
        [webhook] = await receiver.got(1, within=30)
    event = verify_webhook(webhook.body, webhook.headers, secret)
    assert (event.type, event.data.id, event.data.status) == (
        "restoration.succeeded",
        created.id,
        "succeeded",
    )
    assert event.id == webhook.headers["webhook-id"]


async def test_pictures_are_named_by_url_and_the_result_is_put_where_it_is_wanted(
    url: str, photograph: Path, reference: Path
) -> None:
    async with (
        serve_files(face=photograph.read_bytes(), reference=reference.read_bytes()) as server,
        AsyncClient(url) as client,
    ):
        face, other = server.url("/face"), server.url("/reference")
        near = await client.restore(photograph, references=[reference], faces="aligned", format="png")
        for files in ({}, {"references": [reference]}, {"image": photograph}):
            by_url = {"image_url": face, "reference_urls": [other]}
            if "references" in files:
                del by_url["reference_urls"]
            if "image" in files:
                del by_url["image_url"]
            done = await client.create_restoration(
                **files, **by_url, faces="aligned", format="png", output_url=server.url("/out"), wait=30
            )
            assert done.succeeded, done.error
            assert done.output is not None
            assert (done.output.host, done.output.delivered_at is not None) == ("127.0.0.1", True)
            assert server.files.pop("/out") == near.data
            assert await client.download_image(done.id) == near
        person = await client.create_person(reference_urls=[other], aligned=True, name="Ada", wait=30)
        assert (person.status, [one.used for one in person.references]) == ("ready", [True])
        nobody = await client.create_person(reference_urls=[server.url("/gone")])
        with pytest.raises(
            PersonError, match=r"image-url-rejected: reference_urls\[0\]: Its server answered 404"
        ):
            await client.wait_for_person(nobody.id, within=30)
        with pytest.raises(RestorationError, match="image-url-rejected: image_url: Its server answered 404"):
            await client.restore(image_url=server.url("/gone"))
        with pytest.raises(InvalidRequestError, match="missing-image"):
            await client.restore()


def test_the_options_are_those_that_the_service_knows(url: str) -> None:
    form = httpx.get(f"{url}/openapi.json").json()["components"]["schemas"]["RestorationForm"]
    offered = set(get_type_hints(RestorationOptions))
    assert set(KNOBS) <= offered <= set(form["properties"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (answers.Restoration, served_answers.Restoration),
        (answers.Person, served_answers.PersonResource),
        (answers.Face, served_answers.FaceResource),
        (answers.Reference, served_answers.ReferenceResource),
        (answers.Output, served_answers.Output),
        (answers.Model, served_models.Model),
    ],
)
def test_an_answer_has_every_member_that_the_client_names(
    ours: type[answers.Resource], theirs: type[answers.Resource]
) -> None:
    assert set(ours.model_fields) <= set(theirs.model_fields)


def test_patience_must_be_some() -> None:
    with pytest.raises(ValueError, match="at least 1 try"):
        Patience(tries=0)
