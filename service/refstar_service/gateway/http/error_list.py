"""The page of errors: `python -m refstar_service.gateway.http.error_list > docs/errors.md`."""

from http import HTTPStatus

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.remedies import describe_remedy

HEAD = """\
# Errors

<!-- Made by: python -m refstar_service.gateway.http.error_list > docs/errors.md -->

Every error response is an RFC 9457 problem with the content type `application/problem+json`:

| member | content |
| --- | --- |
| `type` | identifies the problem, and is an address of the service that explains it |
| `title` | what the problem is, in one line |
| `status` | the HTTP status |
| `detail` | what is wrong with this request |
| `instance` | the path of the request |
| `request_id` | also sent in the `X-Request-ID` header; quote it when you report a problem |

Some problems have further members, such as `errors`, `limit`, `setting` or `failure`. A problem about a limit names the
setting of the service that changes it. New types may be added, but types are never renamed, so programs can rely on
them. `GET /problems` lists them all. The `error` of a failed restoration has the same form.
"""


def write_markdown() -> str:
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
            f"| `{problem.uri}` | {_escape_cell(problem.title)} | {_escape_cell(describe_remedy(problem))} |"
            for problem in ProblemType
            if problem.status == status
        ]
        lines.append("")
    return "\n".join(lines)


def _escape_cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(write_markdown(), end="")
