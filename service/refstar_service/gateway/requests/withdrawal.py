"""Jobs that clients end while they wait: no worker meets them, so they are counted here."""

from refstar_service.gateway.http.context import Gateway
from refstar_service.jobs import Job, JobStatus


def count_withdrawn(gateway: Gateway, job: Job | None) -> None:
    """Count a job that was canceled, or one that is no more; what a worker has or had is counted there."""
    if job is None or not job.withdrawn:
        return
    outcome = "canceled" if job.status is JobStatus.CANCELED else "deleted"
    model = job.request.full_name
    installed = model if model in gateway.models.versions else ""
    gateway.metrics.jobs_finished.labels(outcome, "", installed).inc()
