"""`/problems/<slug>`: the address that is a problem's type explains it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.responses import problem_responses
from refstar_service.gateway.routes.resources import ProblemExplanation, ProblemList

router = APIRouter(prefix="/problems", tags=["problems"])


def _explanation(problem: ProblemType) -> ProblemExplanation:
    return ProblemExplanation(
        type=problem.uri, title=problem.title, status=problem.status, remedy=problem.remedy
    )


@router.get("")
async def catalog() -> ProblemList:
    """Every problem that this service can answer with."""
    return ProblemList(problems=[_explanation(problem) for problem in ProblemType])


@router.get("/{slug}", response_model=ProblemExplanation, responses=problem_responses(ProblemType.NOT_FOUND))
async def explain(slug: str, request: Request) -> Response | ProblemExplanation:
    """What a problem means and what to do about it; plain text for browsers, JSON for everything else."""
    problem = ProblemType.of(slug)
    if problem is None:
        raise Problem(ProblemType.NOT_FOUND, f"There is no problem type {slug[:80]!r}.")
    if "text/" in request.headers.get("accept", ""):
        text = f"{problem.title}\nStatus {problem.status}, type {problem.uri}\n\n{problem.remedy}\n"
        return PlainTextResponse(text)
    return _explanation(problem)
