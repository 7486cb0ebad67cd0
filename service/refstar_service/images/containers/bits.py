"""Numbers that are not whole bytes, in the headers of video streams."""


class Bits:
    """Reads from the most significant bit on; IndexError past the end.

    Only the first ``most`` bytes are looked at: the fields of interest end within them, however long the header is.
    """

    def __init__(self, data: bytes, most: int = 128) -> None:
        self._value = int.from_bytes(data[:most])
        self._left = 8 * len(data[:most])

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError("past the end of the header")
        return self._value >> self._left & (1 << count) - 1

    def take_golomb(self) -> int:
        """Exponential-Golomb code, unsigned (ue(v) in section 9.2 of the HEVC specification)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
