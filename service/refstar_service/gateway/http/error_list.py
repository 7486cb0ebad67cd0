"""The page of errors: `python -m refstar_service.gateway.http.error_list > docs/errors.md`."""

from http import HTTPStatus

from refstar_service.gateway.http.problems import ProblemType

HEAD = """\
# Errors

<!-- Made by: python -m refstar_service.gateway.http.error_list > docs/errors.md -->

Every error is an RFC 9457 problem: `application/problem+json` with `type`, `title`, `status`, `detail` (what was found
in this request), `instance` (the path) and `request_id` (also in the header `X-Request-ID`; quote it when you report
something). `type` is an address of the service that explains the problem; `/problems` lists them all. Types are added,
never renamed, so programs may rely on them. A restoration that fails has the same problem as its `error`.
"""


def markdown() -> str:
    """All problem types, by status."""
    lines = [HEAD]
    for status in sorted({problem.status for problem in ProblemType}):
        lines += [
            f"## {status} {HTTPStatus(status).phrase}",
            "",
            "| type | meaning | what to do |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| `{problem.uri}` | {_cell(problem.title)} | {_cell(problem.remedy)} |"
            for problem in ProblemType
            if problem.status == status
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")
