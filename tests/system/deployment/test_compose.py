"""docker-compose.yml: valid by its schema, hardened, open to this machine only, and connected where it must be."""

import re
from urllib.parse import urlsplit

import pytest
from deployed_files import COMPOSE, PROMETHEUS, ROOT, TOOLS, VARIABLES, Document, load, read_variables, run

TALKERS = {"gateway", "worker", "worker-gpu", "courier"}  # what comes from this repository


def services() -> dict[str, Document]:
    read: dict[str, Document] = load(COMPOSE)["services"]
    return read


def internal(network: str, **variables: str) -> bool:
    """Whether compose lets nothing of this network out, given these lines of .env."""
    said = (load(COMPOSE)["networks"][network] or {}).get("internal", False)
    found = re.fullmatch(r"\$\{(\w+):-(\w+)\}", str(said))
    return (variables.get(found[1], found[2]) if found else str(said)).lower() == "true"


def test_compose_file_follows_its_schema() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_whatever_is_published_is_published_to_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert published.keys() == {"gateway", "grafana", "jaeger"}
    for name, ports in published.items():
        assert all(port.startswith("127.0.0.1:") for port in ports), name
        # An internal network publishes nothing.
        assert any(not internal(network) for network in services()[name]["networks"]), name


def test_services_are_hardened_and_healthy_before_others_lean_on_them() -> None:
    for name, service in services().items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert ":" in service["image"], name
        for dependency, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            # Those that are built here bring their check in the Dockerfile.
            assert "healthcheck" in services()[dependency] or "build" in services()[dependency], dependency


def test_profiles_add_to_a_service_that_is_whole_without() -> None:
    profiles = {
        name: service["profiles"][0] for name, service in services().items() if service.get("profiles")
    }
    assert profiles == {"worker-gpu": "gpu", "courier": "courier", "s3": "s3", "jaeger": "tracing"}
    for name, service in services().items():
        if name not in profiles:
            assert not profiles.keys() & service.get("depends_on", {}).keys(), name
    (device,) = services()["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_mounted_files_and_volumes_exist() -> None:
    named = load(COMPOSE)["volumes"].keys()
    mounted = [volume.split(":") for service in services().values() for volume in service.get("volumes", ())]
    assert any(source.startswith("./") for source, *_ in mounted)
    for source, _, *options in mounted:
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert options == ["ro"], source
        else:
            assert source in named, source


# ---- networks


def test_redis_and_prometheus_reach_nothing_outside() -> None:
    for name in ("redis", "prometheus", "s3"):
        assert all(internal(network) for network in services()[name]["networks"]), name


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
def test_workers_reach_nothing_outside_unless_they_are_let_out(name: str) -> None:
    networks = services()[name]["networks"]
    assert all(internal(network) for network in networks)
    assert not all(internal(network, WORKERS_STAY_INSIDE="false") for network in networks)
    assert all("# WORKERS_STAY_INSIDE=false" in path.read_text() for path in VARIABLES)


def test_all_reach_redis_the_local_s3_server_and_the_local_collector_without_leaving() -> None:
    addresses = {"redis://redis:6379/0"}
    for path in VARIABLES:
        addresses |= {value for value in read_variables(path).values() if value.startswith("http")}
    hosts = {urlsplit(address).hostname for address in addresses}
    assert hosts == {"redis", "s3", "jaeger"}
    for talker in TALKERS:
        for host in hosts - {None}:
            assert host is not None
            shared = set(services()[talker]["networks"]) & set(services()[host]["networks"])
            assert any(internal(network) for network in shared), f"{talker} to {host}"


def test_the_local_s3_server_has_the_bucket_and_the_port_that_its_variables_name() -> None:
    variables = read_variables(ROOT / "docker" / "s3.env")
    (*_, command) = services()["s3"]["entrypoint"]
    bucket = urlsplit(variables["REFSTAR_S3_URL"]).netloc
    assert f"mkdir -p /data/{bucket} " in command
    assert f"--port :{urlsplit(variables['AWS_ENDPOINT_URL']).port} " in command
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert name in variables
        assert any(f"${{{name}:-}}" == value for value in services()["s3"]["environment"].values())


def test_prometheus_is_on_a_network_with_all_that_it_scrapes() -> None:
    scraped = {
        name for entry in load(PROMETHEUS)["scrape_configs"] for name in entry["dns_sd_configs"][0]["names"]
    }
    assert scraped == TALKERS
    for name in scraped:
        assert set(services()[name]["networks"]) & set(services()["prometheus"]["networks"]), name


# ---- Grafana


def test_grafana_shows_dashboards_to_this_machine_and_lets_nobody_log_in() -> None:
    grafana = services()["grafana"]
    environment = grafana["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    for off in ("GF_AUTH_BASIC_ENABLED", "GF_USERS_ALLOW_SIGN_UP", "GF_ANALYTICS_REPORTING_ENABLED"):
        assert environment[off] == "false"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"


def test_grafana_is_given_prometheus_and_the_folder_of_dashboards() -> None:
    mounts = dict(volume.split(":")[:2] for volume in services()["grafana"]["volumes"])
    provisioning = ROOT / "deploy" / "monitoring" / "grafana"
    assert mounts["./deploy/monitoring/grafana"] == "/etc/grafana/provisioning"
    (source,) = load(provisioning / "datasources" / "prometheus.yml")["datasources"]
    address = urlsplit(source["url"])
    assert address.hostname in services()
    assert address.port == 9090
    assert set(services()["grafana"]["networks"]) & set(services()[address.hostname]["networks"])
    (provider,) = load(provisioning / "dashboards" / "refstar.yml")["providers"]
    assert provider["options"]["path"] == mounts["./deploy/monitoring/dashboards"]
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(provider["options"]["path"] + "/")
    assert (ROOT / "deploy" / "monitoring" / "dashboards" / home.rpartition("/")[2]).is_file()
