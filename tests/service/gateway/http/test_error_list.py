"""docs/errors.md says what the code says, and that of every problem."""

from pathlib import Path

import pytest
from refstar_service.gateway.http.error_list import write_markdown
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.remedies import describe_remedy

PAGE = Path(__file__).parents[4] / "docs" / "errors.md"


def test_the_page_of_errors_is_up_to_date() -> None:
    again = "make it anew: python -m refstar_service.gateway.http.error_list > docs/errors.md"
    assert PAGE.read_text(encoding="utf-8") == write_markdown(), again


@pytest.mark.parametrize("problem", ProblemType, ids=lambda problem: problem.slug)
def test_every_problem_has_a_remedy(problem: ProblemType) -> None:
    assert describe_remedy(problem).endswith(".")


def test_the_page_lists_every_type_once_in_a_whole_row() -> None:
    rows = [line for line in write_markdown().splitlines() if line.startswith("| `/problems/")]
    assert len(rows) == len(ProblemType)
    for problem in ProblemType:
        [row] = [row for row in rows if f"`{problem.uri}`" in row]
        assert row.replace("\\|", "").count("|") == 4
        assert problem.title.replace("|", "\\|") in row
