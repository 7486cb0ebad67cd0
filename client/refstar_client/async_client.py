"""The client for programs on asyncio: as `Client`, with `await` before every method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from refstar_client import operations
from refstar_client.connection import TIMEOUT, Connection
from refstar_client.events import Following
from refstar_client.flows import Call, Flow, Patience, Pause
from refstar_client.options import RestorationOptions
from refstar_client.resources import Model, Person, PersonPage, Restoration, RestorationPage, Status
from refstar_client.storing import PictureFile
from refstar_client.uploads import Picture

T = TypeVar("T")


class AsyncClient:
    """See `Client`. Use it in `async with`, or `aclose()` it; many tasks may share one.

    Pictures that are paths are read in the event loop's thread: read large ones on slow disks before, with
    `asyncio.to_thread`, and hand over their bytes.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        patience: Patience = Patience(),  # noqa: B008  frozen
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._connection = Connection.of(url, api_key, timeout)
        self._patience = patience
        self._owned = http is None
        self._http = httpx.AsyncClient() if http is None else http

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def restore(
        self,
        image: Picture | None = None,
        *,
        references: Iterable[Picture] = (),
        person: str | None = None,
        people: Iterable[str] = (),
        within: float | None = None,
        **options: Unpack[RestorationOptions],
    ) -> PictureFile:
        """The restored picture. Instead of ``image``, `image_url` may say where it is. ``person``: the id of whose
        stored references are used; ``people``: the ids of several, each for the faces that show them. Raises
        RestorationError if there is none, WaitError after ``within`` seconds (the restoration goes on)."""
        named = operations.name_people(person, people)
        return await self._run(operations.restore(image, references, named, options, within, self._patience))

    async def create_restoration(
        self,
        image: Picture | None = None,
        *,
        references: Iterable[Picture] = (),
        person: str | None = None,
        people: Iterable[str] = (),
        wait: float = 0.0,
        idempotency_key: str | None = None,
        **options: Unpack[RestorationOptions],
    ) -> Restoration:
        """Submit a picture, or say where it is (`image_url`). ``wait``: seconds, up to 60, that the service may hold
        its answer until the restoration has ended. With the same ``idempotency_key`` within 24 hours, nothing new is
        made; without one, a new key is made for every call, so that its own repetitions are safe."""
        named = operations.name_people(person, people)
        return await self._run(
            operations.create_restoration(
                image, references, named, options, wait, idempotency_key, self._patience
            )
        )

    async def read_restoration(self, restoration: str, *, wait: float = 0.0) -> Restoration:
        return await self._run(operations.read_restoration(restoration, wait, self._patience))

    async def wait_for_restoration(self, restoration: str, *, within: float | None = None) -> Restoration:
        """The restoration once it has ended, however it did; raises WaitError after ``within`` seconds."""
        return await self._run(operations.wait_for_restoration(restoration, within, self._patience))

    async def stream_events(self, restoration: str) -> AsyncIterator[Restoration]:
        """Every state that the restoration comes to, from the present one to its end. Comes back by itself when a
        stream breaks off. Raises DeletedError if it is deleted meanwhile."""
        following = Following(restoration, self._patience)
        path = operations.events_path(restoration)
        while not following.over:
            try:
                arguments = self._connection.stream_arguments(path, following.headers())
                async with self._http.stream(**arguments) as response:
                    if not response.is_success:
                        await response.aread()
                    if following.accept(response):
                        async for line in response.aiter_lines():
                            state = following.feed(line)
                            if state is not None:
                                yield state
            except httpx.TransportError as error:
                following.fail(error)
            if not following.over:
                await asyncio.sleep(following.pause())

    async def list_restorations(
        self, *, status: Status | None = None, page_size: int = 100
    ) -> AsyncIterator[Restoration]:
        """Yours, newest first. Pages are asked for as they are needed."""
        call: Call | None = operations.first_restorations(status, page_size)
        while call is not None:
            page = await self._run(operations.read_page(RestorationPage, call, self._patience))
            for one in page.restorations:
                yield one
            call = operations.next_page(page)

    async def cancel_restoration(self, restoration: str) -> Restoration:
        return await self._run(operations.cancel_restoration(restoration, self._patience))

    async def delete_restoration(self, restoration: str) -> None:
        """Delete the restoration and its pictures now. One that does not exist is no error."""
        await self._run(operations.delete_restoration(restoration, self._patience))

    async def download_image(self, restoration: str) -> PictureFile:
        """The restored picture."""
        return await self._run(operations.download(restoration, "image", self._patience))

    async def download_selection(self, restoration: str) -> PictureFile:
        """The picture of what was taken from which reference (PNG)."""
        return await self._run(operations.download(restoration, "selection", self._patience))

    async def create_person(
        self,
        references: Iterable[Picture] = (),
        *,
        reference_urls: Sequence[str] | None = None,
        name: str | None = None,
        aligned: bool | None = None,
        reference_face: str | None = None,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> Person:
        """Store a person's references once, from files and from URLs; restorations name the person by `id`."""
        options = {
            "name": name,
            "aligned": aligned,
            "reference_face": reference_face,
            "reference_urls": reference_urls,
        }
        return await self._run(
            operations.create_person(references, options, wait, idempotency_key, self._patience)
        )

    async def update_person(
        self,
        person: str,
        *,
        name: str | None = None,
        references: Iterable[Picture] = (),
        reference_urls: Sequence[str] | None = None,
        remove: Iterable[int] = (),
        aligned: bool | None = None,
        reference_face: str | None = None,
        wait: float = 0.0,
        idempotency_key: str | None = None,
    ) -> Person:
        """Rename the person, add references, from files and from URLs, and ``remove`` those with these indices. Further
        references are looked at first: until then the person is `preparing`, and restorations use what was there
        before. If they cannot be used, nothing but the name is changed, and `error` says why."""
        options = {
            "name": name,
            "aligned": aligned,
            "reference_face": reference_face,
            "reference_urls": reference_urls,
        }
        return await self._run(
            operations.update_person(
                person, references, remove, options, wait, idempotency_key, self._patience
            )
        )

    async def read_person(self, person: str, *, wait: float = 0.0) -> Person:
        return await self._run(operations.read_person(person, wait, self._patience))

    async def wait_for_person(self, person: str, *, within: float | None = None) -> Person:
        """The person once restorations can name them. Raises PersonError if none of the references can be used,
        WaitError after ``within`` seconds."""
        return await self._run(operations.wait_for_person(person, within, self._patience))

    async def list_people(self, *, page_size: int = 100) -> AsyncIterator[Person]:
        """Yours, newest first."""
        call: Call | None = operations.first_people(page_size)
        while call is not None:
            page = await self._run(operations.read_page(PersonPage, call, self._patience))
            for one in page.people:
                yield one
            call = operations.next_page(page)

    async def delete_person(self, person: str) -> None:
        """Delete everything stored of the person now. One who does not exist is no error."""
        await self._run(operations.delete_person(person, self._patience))

    async def list_models(self) -> list[Model]:
        return await self._run(operations.list_models(self._patience))

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = flow.send(None)
                    continue
                try:
                    response = await self._http.request(**self._connection.arguments(step))
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(response)
        except StopIteration as done:
            result: T = done.value
            return result
