"""Who may do what: API keys in a file or in Redis, and how much each may ask for. Knows nothing of HTTP."""

from refstar_service.access.key import ApiKey, Limits
from refstar_service.access.store import KeyStore

__all__ = ["ApiKey", "KeyStore", "Limits"]
