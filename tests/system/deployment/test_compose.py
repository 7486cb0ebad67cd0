"""docker-compose.yml: valid by its schema, hardened, and open to this machine only."""

from deployed_files import COMPOSE, TOOLS, load, run


def test_compose_file_follows_its_schema() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_compose_publishes_the_gateway_to_this_machine_only() -> None:
    services = load(COMPOSE)["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])


def test_compose_services_are_hardened_and_healthy_before_others_lean_on_them() -> None:
    services = load(COMPOSE)["services"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        for dependency, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            # Those that are built here bring their check in the Dockerfile.
            assert "healthcheck" in services[dependency] or "build" in services[dependency], dependency


def test_compose_gpu_profile_holds_the_gpu_worker_alone() -> None:
    services = load(COMPOSE)["services"]
    assert {name for name, service in services.items() if service.get("profiles")} == {"worker-gpu"}
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
