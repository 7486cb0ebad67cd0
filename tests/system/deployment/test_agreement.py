"""Images, compose, Kubernetes and Prometheus agree with the settings, the ports, the version and each other."""

import re
import tomllib
from itertools import pairwise

import pytest
from deployed_files import (
    COMPOSE,
    DOCKERFILES,
    KUBERNETES,
    PROMETHEUS,
    ROOT,
    WORKER_PORT,
    container,
    given_settings,
    load,
    mebibytes,
    named,
    pod,
    workloads,
)
from fastapi.routing import APIRoute
from refstar_service.gateway.routes import health
from refstar_service.settings import PREFIX, READ_BY_OTHERS, Settings

OF_CLIENTS = {f"{PREFIX}URL", f"{PREFIX}API_KEY"}  # what they read


@pytest.mark.parametrize("place", given_settings())
def test_values_set_for_containers_are_valid_settings(
    place: str, defaults: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given_settings()[place].items():
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    Settings()


def test_every_setting_that_a_file_mentions_exists() -> None:
    files = [
        *DOCKERFILES,
        COMPOSE,
        *KUBERNETES.rglob("*.yaml"),
        *ROOT.glob("deploy/**/*.md"),
        ROOT / "Makefile",
    ]
    files += ROOT.glob("docs/*.md")
    for path in files:
        for name in re.findall(rf"\b{PREFIX}([A-Z][A-Z_]*[A-Z])\b", path.read_text()):
            known = PREFIX + name in READ_BY_OTHERS | OF_CLIENTS or name.lower() in Settings.model_fields
            assert known, f"{named(path)}: {PREFIX}{name}"


def test_ports_agree_everywhere(defaults: Settings) -> None:
    for dockerfile in DOCKERFILES:
        port = defaults.port if dockerfile.name.startswith("gateway") else WORKER_PORT
        text = dockerfile.read_text()
        assert re.findall(r"^EXPOSE (\d+)$", text, re.M) == [str(port)]
        assert f"'127.0.0.1', {port}" in text
    for workload in workloads().values():
        name = workload["metadata"]["name"]
        port = {"gateway": defaults.port, "worker": WORKER_PORT, "courier": WORKER_PORT, "redis": 6379}[name]
        assert [entry["containerPort"] for entry in container(workload)["ports"]] == [port]
    services = load(COMPOSE)["services"]
    assert services["gateway"]["ports"][0].endswith(f":{defaults.port}")
    scraped = {
        name: entry["dns_sd_configs"][0]["port"]
        for entry in load(PROMETHEUS)["scrape_configs"]
        for name in entry["dns_sd_configs"][0]["names"]
    }
    assert scraped == {
        "gateway": defaults.port,
        "worker": WORKER_PORT,
        "worker-gpu": WORKER_PORT,
        "courier": WORKER_PORT,
    }
    told = f"{PREFIX}WORKER_METRICS_PORT"
    assert {values[told] for values in given_settings().values() if told in values} == {str(WORKER_PORT)}


def test_gateway_answers_at_the_probed_paths() -> None:
    served = {route.path for route in health.router.routes if isinstance(route, APIRoute)}
    main = container(workloads()["base/gateway"])
    probes = [main[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    probes += re.findall(r"request\('GET', '(.*?)'\)", (ROOT / "docker" / "gateway.Dockerfile").read_text())
    assert len(probes) == 4
    assert set(probes) <= served


def test_containers_are_given_the_time_their_shutdown_takes(defaults: Settings) -> None:
    close = 5
    gateway = workloads()["base/gateway"]
    before = container(gateway)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(gateway)["terminationGracePeriodSeconds"] >= before + defaults.shutdown_grace + close
    for service in load(COMPOSE)["services"].values():
        if "build" in service:
            assert float(service["stop_grace_period"].removesuffix("s")) >= defaults.shutdown_grace + close


def test_gateway_may_use_the_memory_its_uploads_may_take(defaults: Settings) -> None:
    uploads = defaults.max_uploads_at_once * defaults.max_request_bytes / 2**20
    limit = mebibytes(container(workloads()["base/gateway"])["resources"]["limits"]["memory"])
    assert limit >= uploads + 512


def test_redis_keeps_what_it_accepted() -> None:
    compose = load(COMPOSE)["services"]["redis"]
    redis = container(workloads()["base/redis"])
    assert compose["image"] == redis["image"]
    for arguments in (compose["command"], redis["args"]):
        flags = dict(pairwise(arguments))
        assert flags["--appendonly"] == "yes"
        assert flags["--appendfsync"] == "everysec"
        assert flags["--maxmemory-policy"] == "noeviction"
        assert "--maxmemory" in flags


def test_images_carry_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "service" / "pyproject.toml").read_text())["project"]["version"]
    for dockerfile in DOCKERFILES:
        assert f"\nARG VERSION={version}\n" in dockerfile.read_text()
    images = [service["image"] for service in load(COMPOSE)["services"].values() if "build" in service]
    images += [container(workload)["image"] for name, workload in workloads().items() if name != "base/redis"]
    assert {image.partition(":")[2] for image in images} == {version}


def test_a_gateway_beyond_one_machine_asks_for_keys() -> None:
    """Each file that makes a gateway listen on every address says who may ask, or it would not start."""
    shared = given_settings()["ConfigMap"]
    assert shared[f"{PREFIX}ACCESS"] == "redis"
    compose = given_settings()["compose gateway"]
    assert compose[f"{PREFIX}OPEN_TO_NETWORK"] == "true"  # published to 127.0.0.1 only, see above
    assert compose[f"{PREFIX}ACCESS"] == "open"  # the second time it is said
    assert f"{PREFIX}ACCESS: ${{{PREFIX}ACCESS:-open}}" in COMPOSE.read_text()  # a file .env may ask for keys
    assert f"{PREFIX}HOST_NAMES" not in compose  # localhost and addresses, as on any one machine
