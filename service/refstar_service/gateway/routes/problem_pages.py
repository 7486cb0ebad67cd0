"""`/problems/<slug>`: the address that is a problem's type explains it."""

from typing import Annotated

from fastapi import Path, Request, Response
from fastapi.responses import PlainTextResponse

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.remedies import describe_remedy
from refstar_service.gateway.http.resource import Resource
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router

Slug = Annotated[str, Path(description="Name of the problem: the last part of its `type`.")]

router = new_router("/problems", tag="problems")


class ProblemExplanation(Resource):
    type: str
    title: str
    status: int
    remedy: str
    """What the problem means and what to do about it."""


class ProblemList(Resource):
    problems: list[ProblemExplanation]


def _describe(problem: ProblemType) -> ProblemExplanation:
    return ProblemExplanation(
        type=problem.uri, title=problem.title, status=problem.status, remedy=describe_remedy(problem)
    )


@router.get("")
async def list_problems() -> ProblemList:
    """List every problem type that this service can respond with."""
    return ProblemList(problems=[_describe(problem) for problem in ProblemType])


@router.get("/{slug}", response_model=ProblemExplanation, responses=describe_problems(ProblemType.NOT_FOUND))
async def explain_problem(slug: Slug, request: Request) -> Response | ProblemExplanation:
    """Explain a problem type and what to do about it. Browsers get plain text, everything else JSON."""
    problem = ProblemType.of(slug)
    if problem is None:
        raise ProblemError(ProblemType.NOT_FOUND, f"No such problem type: {slug[:80]!r}.")
    if "text/" in request.headers.get("accept", ""):
        text = f"{problem.title}\nStatus {problem.status}, type {problem.uri}\n\n{describe_remedy(problem)}\n"
        return PlainTextResponse(text)
    return _describe(problem)
