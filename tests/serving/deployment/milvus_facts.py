"""Facts about Milvus, each with its source."""

# charts/milvus/Chart.yaml of github.com/zilliztech/milvus-helm at 5.0.19 (commit 9832476).
CHART, VERSION = "5.0.19", "2.6.15"

# Those in use of charts/milvus/values.yaml there, with the types of their defaults. What stands in
# resources and affinity is Kubernetes' own.
VALUES: dict[str, type] = {
    "image.all.tag": str,
    "cluster.enabled": bool,
    "streaming.enabled": bool,
    "streaming.woodpecker.embedded": bool,
    "streaming.woodpecker.storage.type": str,
    "pulsarv3.enabled": bool,
    "extraConfigFiles.user.yaml": str,
    "proxy.replicas": int,
    "proxy.resources": dict,
    "mixCoordinator.replicas": int,
    "mixCoordinator.activeStandby.enabled": bool,
    "mixCoordinator.resources": dict,
    "queryNode.replicas": int,
    "queryNode.resources": dict,
    "queryNode.affinity": dict,
    "dataNode.replicas": int,
    "dataNode.resources": dict,
    "streamingNode.replicas": int,
    "streamingNode.resources": dict,
    "etcd.replicaCount": int,
    "etcd.pdb.create": bool,
    "minio.mode": str,
    "minio.accessKey": str,
    "minio.persistence.size": str,
    "minio.podDisruptionBudget.enabled": bool,
    "metrics.enabled": bool,
    "metrics.serviceMonitor.enabled": bool,
}

# configs/milvus.yaml of github.com/milvus-io/milvus at 2.6.15 has `mq.type`, of these; the chart's
# config.tpl sets it where Pulsar or Kafka is enabled.
QUEUES = {"default", "pulsar", "kafka", "rocksmq", "woodpecker"}

# Of scripts/standalone_embed.sh there, which starts one container with etcd inside.
VARIABLES = {
    "DEPLOY_MODE": "STANDALONE",
    "ETCD_USE_EMBED": "true",
    "ETCD_DATA_DIR": "/var/lib/milvus/etcd",
    "COMMON_STORAGETYPE": "local",
}

# Chart's templates/service.yaml and _helpers.tpl: the port of clients, of metrics and health.
CLIENTS, METRICS = 19530, 9091
