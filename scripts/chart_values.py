"""The values of the Helm chart: where each is in the manifests of deploy/kubernetes, which give its default."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Value:
    """`places`: `Kind/name/json/pointer`; of a worker, `Kind/name@component/...`. The first one gives the default."""

    path: str
    help: str
    places: tuple[str, ...]


CONTAINER = "spec/template/spec/containers/0"
TO = "spec/egress/0/to"
PORT = "spec/egress/0/ports/0/port"

VALUES = (
    Value(
        "settings",
        "Settings of all processes (docs/settings.md). Those that hold a password go into the "
        "Secret `refstar`, which wins.",
        ("ConfigMap/refstar/data",),
    ),
    Value(
        "gateway.image",
        "Of the courier too.",
        (f"Deployment/gateway/{CONTAINER}/image", f"Deployment/courier/{CONTAINER}/image"),
    ),
    Value("gateway.replicas", "Without hpa.", ("Deployment/gateway/spec/replicas",)),
    Value("gateway.resources", "", (f"Deployment/gateway/{CONTAINER}/resources",)),
    Value("courier.resources", "", (f"Deployment/courier/{CONTAINER}/resources",)),
    Value("courier.to", "What webhooks may be sent to.", ("NetworkPolicy/courier-to-receivers/" + TO,)),
    Value("worker.image", "", (f"Deployment/worker@cpu/{CONTAINER}/image",)),
    Value("worker.resources", "", (f"Deployment/worker@cpu/{CONTAINER}/resources",)),
    Value(
        "worker.replicas",
        "Without keda; on GPUs too.",
        ("Deployment/worker@cpu/spec/replicas", "Deployment/worker@gpu/spec/replicas"),
    ),
    Value("gpu.image", "", (f"Deployment/worker@gpu/{CONTAINER}/image",)),
    Value("gpu.resources", "", (f"Deployment/worker@gpu/{CONTAINER}/resources",)),
    Value("gpu.tolerations", "", ("Deployment/worker@gpu/spec/template/spec/tolerations",)),
    Value("redis.image", "", (f"StatefulSet/redis/{CONTAINER}/image",)),
    Value("redis.resources", "", (f"StatefulSet/redis/{CONTAINER}/resources",)),
    Value(
        "redis.args", "Its password comes from the Secret `redis`.", (f"StatefulSet/redis/{CONTAINER}/args",)
    ),
    Value("redis.volume", "", ("StatefulSet/redis/spec/volumeClaimTemplates/0/spec",)),
    Value("externalRedis.to", "Where it is.", ("NetworkPolicy/to-redis/" + TO,)),
    Value("externalRedis.port", "", ("NetworkPolicy/to-redis/" + PORT,)),
    Value(
        "externalRedis.address",
        "For keda.",
        tuple(f"ScaledObject/worker/spec/triggers/{n}/metadata/address" for n in (0, 1)),
    ),
    Value("tensorrt.volume", "", ("PersistentVolumeClaim/engines/spec",)),
    Value("keda.minReplicas", "", ("ScaledObject/worker/spec/minReplicaCount",)),
    Value("keda.maxReplicas", "", ("ScaledObject/worker/spec/maxReplicaCount",)),
    Value(
        "keda.normalPerWorker",
        "Jobs of normal priority that one worker clears in the time a client should wait.",
        ("ScaledObject/worker/spec/triggers/0/metadata/streamLength",),
    ),
    Value("keda.highPerWorker", "", ("ScaledObject/worker/spec/triggers/1/metadata/streamLength",)),
    Value(
        "keda.namespace",
        "Where KEDA runs.",
        (
            "NetworkPolicy/redis-from-keda/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name",
        ),
    ),
    Value("hpa.minReplicas", "", ("HorizontalPodAutoscaler/gateway/spec/minReplicas",)),
    Value("hpa.maxReplicas", "", ("HorizontalPodAutoscaler/gateway/spec/maxReplicas",)),
    Value("hpa.metrics", "", ("HorizontalPodAutoscaler/gateway/spec/metrics",)),
    Value(
        "ingress.host",
        "",
        (
            "Ingress/gateway/spec/rules/0/host",
            "Ingress/gateway/spec/tls/0/hosts/0",
            "ConfigMap/refstar/data/REFSTAR_HOST_NAMES",
        ),
    ),
    Value("ingress.className", "", ("Ingress/gateway/spec/ingressClassName",)),
    Value("ingress.annotations", "", ("Ingress/gateway/metadata/annotations",)),
    Value("ingress.tlsSecret", "", ("Ingress/gateway/spec/tls/0/secretName",)),
    Value("ingress.from", "Who may reach the gateways.", ("NetworkPolicy/gateway/spec/ingress/0/from",)),
    Value("s3.url", "", ("ConfigMap/refstar/data/REFSTAR_S3_URL",)),
    Value("s3.region", "", ("ConfigMap/refstar/data/AWS_REGION",)),
    Value("s3.to", "", ("NetworkPolicy/to-s3/" + TO,)),
    Value("s3.port", "", ("NetworkPolicy/to-s3/" + PORT,)),
    Value(
        "urls.to", "Where pictures may come from and results may go.", ("NetworkPolicy/worker-to-urls/" + TO,)
    ),
    Value("otlp.endpoint", "", ("ConfigMap/refstar/data/OTEL_EXPORTER_OTLP_ENDPOINT",)),
    Value("otlp.to", "", ("NetworkPolicy/to-collector/" + TO,)),
    Value("otlp.port", "", ("NetworkPolicy/to-collector/" + PORT,)),
    Value(
        "monitoring.from",
        "Who may scrape workers and couriers.",
        ("NetworkPolicy/worker-metrics/spec/ingress/0/from",),
    ),
)

#: Each adds what its folder of deploy/kubernetes holds, in this order.
COMPONENTS = {
    "keda": "Workers by the length of the queue (needs KEDA).",
    "hpa": "Gateways by their use of processors (needs metrics-server).",
    "external-redis": "A Redis or Valkey of your own instead of the chart's.",
    "tensorrt": "TensorRT instead of CUDA, with its engines on a volume.",
    "ingress": "The way in from outside, with TLS.",
    "s3": "Pictures in a bucket.",
    "urls": "Pictures from the URLs of requests, and results to them.",
    "otlp": "Traces to a collector.",
    "monitoring": "Scraping, alerts and dashboards (needs the Prometheus operator).",
}


def value_name(component: str) -> str:
    """The key of a component in values.yaml: camel case, as Helm's users expect."""
    first, *others = component.split("-")
    return first + "".join(word.title() for word in others)
