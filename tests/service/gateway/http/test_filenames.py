import pytest
from refstar_service.gateway.http.filenames import content_disposition, download_name, safe_name
from refstar_service.images import MEDIA_TYPES, OUTPUT_FORMATS


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("face.jpg", "face.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\face.png", "face.png"),
        ('a"b%22c.png', "a_b_c.png"),
        ("a\r\nSet-Cookie: x", "a_Set-Cookie_ x"),
        ("...", ""),
        ("", ""),
        ("Müller.png", "Müller.png"),
        ("Mu\u0308ller.png", "Müller.png"),
        ("face\u202egpj.exe", "facegpj.exe"),
        ("x" * 300 + ".jpeg", "x" * 75 + ".jpeg"),
    ],
)
def test_client_names_lose_what_has_a_meaning_elsewhere(sent: str, kept: str) -> None:
    assert safe_name(sent) == kept


def test_results_are_named_after_the_upload_and_their_own_type() -> None:
    assert download_name("face.jpg", "restored", "image/png") == "face-restored.png"
    assert download_name("", "selection", "image/png") == "face-selection.png"


def test_every_type_of_result_has_its_ending() -> None:
    endings = {download_name("a.b", "restored", MEDIA_TYPES[kind]) for kind in OUTPUT_FORMATS}
    assert len(endings) == len(OUTPUT_FORMATS)
    assert "a-restored" not in endings


def test_names_beyond_ascii_are_sent_twice() -> None:
    assert content_disposition("a.png") == 'inline; filename="a.png"'
    assert content_disposition("é.png") == "inline; filename=\"_.png\"; filename*=UTF-8''%C3%A9.png"
