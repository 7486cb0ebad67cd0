from refstar_service.faces import align
from refstar_service.gateway.requests import submission


def test_gateway_and_worker_call_the_same_pictures_square() -> None:
    # The arrows keep the gateway from importing `faces`; this keeps the two rules one.
    assert submission.SQUARE_TOLERANCE == align.SQUARE_WITHIN
