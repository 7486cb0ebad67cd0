"""Where a row of ``faces.csv`` says that its photograph comes from, in the words that its source asks for."""

from collections.abc import Mapping

UNNAMED = "photographs whose source faces.csv does not name"

_LONDON = "Face Research Lab London Set v5, DeBruine & Jones 2017, doi 10.6084/m9.figshare.5047666.v5"
_OFFICIAL = "Official portraits of members of the US Congress and presidents"
_STAFF = (
    "Portraits of staff and fellows on sites of the US government (Presidential Innovation Fellows, Digital Corps, "
    "18F)"
)
#: By the column ``repo``, and where a repository holds several sets, by ``repo`` and ``kind``.
_CITATIONS: Mapping[tuple[str, str] | str, str] = {
    ("debruine/webmorphR.stim", "neutral_front"): _LONDON,
    ("debruine/webmorphR.stim", "smiling_front"): _LONDON,
    (
        "debruine/webmorphR.stim",
        "canada",
    ): "Young Adult White Faces with Manipulated Versions v1, DeBruine & Jones "
    "2017, doi 10.6084/m9.figshare.4220517.v1",
    ("debruine/webmorphR.stim", "lisa"): "Self-portraits of L. DeBruine (webmorphR.stim)",
    ("debruine/webmorphR.stim", "zoom"): "Self-portraits of L. DeBruine (webmorphR.stim)",
    "wushuchris/BeautyML": _LONDON,
    "vharnathka/cse151a": _OFFICIAL,
    "voteview/member_photos": _OFFICIAL,
    "ageitgey/face_recognition": _OFFICIAL,
    "presidential-innovation-fellows/pif-website": _STAFF,
    "GSA/digitalcorps.gsa.gov": _STAFF,
    "18F/18f.gsa.gov": _STAFF,
    "cjdowner/interfaces": "Stock pictures collected in cjdowner/interfaces",
}


def name_source(row: Mapping[str, str]) -> str:
    """The column ``source``, else the citation of ``repo``, else ``repo`` itself."""
    repository = row.get("repo") or ""
    citation = _CITATIONS.get((repository, row.get("kind") or "")) or _CITATIONS.get(repository)
    return (row.get("source") or "").strip() or citation or repository or UNNAMED
