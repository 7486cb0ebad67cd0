"""What may be called for which purpose, by the settings."""

from refstar_service.outgoing.endpoint import LONGEST_SIGNED_URL, Reach, parse_networks, parse_ports
from refstar_service.settings import Settings


def webhook_reach(settings: Settings) -> Reach:
    return Reach(parse_networks(settings.webhook_networks), parse_ports(settings.webhook_ports))


def picture_reach(settings: Settings) -> Reach:
    """Of the URLs that pictures come from and results go to."""
    networks, ports = parse_networks(settings.url_networks), parse_ports(settings.url_ports)
    return Reach(networks, ports, "REFSTAR_URL", LONGEST_SIGNED_URL)
