"""Which names the service answers to.

A name of somebody else's that resolves to this machine would make their web page one of ours (DNS rebinding), and a
browser would let it read every answer. An address cannot be made to mean another machine.
"""

import ipaddress
import re
from dataclasses import dataclass

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.settings import Settings

#: Liveness tells nothing, and load balancers ask for it under names of their own.
ANY_NAME = frozenset({"/healthz"})
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[^\[\]:/@\\\s]+))(?::\d*)?", re.IGNORECASE)


@dataclass(frozen=True)
class HostNames:
    """`listed`: names besides localhost and addresses; None: any name at all."""

    listed: frozenset[str] | None

    @classmethod
    def of(cls, settings: Settings) -> "HostNames":
        if settings.access != "open" and not settings.host_names:
            return cls(None)  # a web page has no key
        return cls(frozenset({settings.host.lower(), *settings.listed_host_names}))

    def check(self, host: str, path: str) -> None:
        """Raises ProblemError for a request whose Host header (`host`) has a name of somebody else's."""
        if self.listed is None or path in ANY_NAME or self._has(host):
            return
        raise ProblemError(
            ProblemType.WRONG_HOST,
            f"The request is for the host {host[:80]!r}. The service answers to localhost, to IP addresses and to the "
            "names that its operator lists in REFSTAR_HOST_NAMES.",
        )

    def _has(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None or self.listed is None:
            return False
        name = (found["v6"] or found["name"]).lower().removesuffix(".")
        if name == "localhost" or name.endswith(".localhost") or name in self.listed:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
