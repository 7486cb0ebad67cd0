"""Whoever meets a limit is told which setting changes it."""

import httpx
import pytest
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.remedies import describe_remedy
from refstar_service.gateway.http.resource import ProblemDetails
from refstar_service.jobs import JobFailure
from refstar_service.settings import Settings

LIMITED = [problem for problem in ProblemType if problem.settings]

#: Settings that bound something and refuse nobody, with what happens instead.
REFUSES_NOBODY = {
    "max_wait": "a longer wait is cut short",
    "max_waits": "the answer comes at once",
    "max_batch": "the rest waits",
    "max_batch_pixels": "the rest waits",
    "embedded_redis_memory_mb": "redis_memory_share of it is the limit that counts",
    "gpu_memory_mb": "batches are split",
    "feature_cache_bytes": "what was used least is dropped",
    "webhook_timeout": "the webhook is sent again",
    "expired_ttl": "nobody can tell what is forgotten from what never was",
}


@pytest.mark.parametrize("problem", LIMITED, ids=lambda problem: problem.slug)
async def test_a_problem_with_a_limit_names_the_setting(
    problem: ProblemType, client: httpx.AsyncClient
) -> None:
    for name in problem.settings:
        assert name.removeprefix("REFSTAR_").lower() in Settings.model_fields
        assert f"`{name}`" in describe_remedy(problem)
        assert f"`{name}`" in (await client.get(problem.uri)).json()["remedy"]
        assert name in ProblemError(problem, "Enough.").detail
        assert ProblemError(problem, f"At most 4 ({name}).").detail == f"At most 4 ({name})."
    failed = ProblemDetails.of(JobFailure(problem.slug, "Enough."), "")
    assert problem.settings[0] in failed.detail


def test_every_setting_that_refuses_anything_is_named_by_a_problem() -> None:
    words = ("max_", "min_", "_ttl", "_limit", "_per_", "_bytes", "_mb", "_timeout", "_backlog", "_share")
    limits = {name for name in Settings.model_fields if any(word in name for word in words)}
    named = {name.removeprefix("REFSTAR_").lower() for problem in LIMITED for name in problem.settings}
    assert len(named) > 20
    assert limits - REFUSES_NOBODY.keys() - {"faces_per_inference"} <= named
    assert not named & REFUSES_NOBODY.keys()


def test_of_several_settings_the_one_that_was_met_is_named() -> None:
    error = ProblemError(ProblemType.STORAGE_FULL, "Full.", setting="REFSTAR_STORAGE_BYTES_PER_KEY")
    assert error.detail == "Full. The limit is the setting REFSTAR_STORAGE_BYTES_PER_KEY."
    assert error.extensions["setting"] == "REFSTAR_STORAGE_BYTES_PER_KEY"


def test_what_is_no_setting_of_the_service_is_not_named() -> None:
    error = ProblemError(ProblemType.TOO_MANY_REFERENCES, "The model 'lone' takes no references.", setting="")
    assert error.detail == "The model 'lone' takes no references."
    assert "setting" not in error.extensions
