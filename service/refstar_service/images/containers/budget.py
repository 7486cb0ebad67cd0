"""How much of a file is looked at to read its header: its parts are counted, over all loops together.

A limit for each loop would not do: loops inside loops multiply theirs, and a file may name one part again and again.
"""

from refstar_service.images.errors import ImageError, RefusalCode


class Budget:
    """For the header of one ``file`` ("HEIF"), of which at most ``most`` ``parts`` ("boxes") are looked at."""

    def __init__(self, most: int, file: str, parts: str) -> None:
        self._left = most
        self._refusal = f"The {file} file has more than {most} {parts}."

    def spend(self, parts: int = 1) -> None:
        """Before so many are looked at. Raises ImageError (image-undecodable) when they are too many."""
        self._left -= parts
        if self._left < 0:
            raise ImageError(RefusalCode.UNDECODABLE, self._refusal)
