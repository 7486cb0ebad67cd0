"""What fetches pictures from URLs and delivers results, put together from settings."""

from refstar_service.outgoing.carrier import Carrier
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.reach import picture_reach
from refstar_service.restoration.rules import image_limits
from refstar_service.settings import Settings
from refstar_service.worker.transfers import Transfers


def build_transfers(settings: Settings) -> Transfers:
    carrier = None
    if settings.fetch_urls:
        dialer = Dialer(picture_reach(settings))
        carrier = Carrier(dialer, redirects=settings.url_redirects)
    return Transfers(
        carrier,
        image_limits(settings),
        most_bytes=settings.max_request_bytes,
        timeout=settings.url_timeout,
    )
