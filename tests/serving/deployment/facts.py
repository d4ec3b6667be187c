"""Facts about TensorFlow Serving and what stands around it, each with its source.

Read at tag 2.20.0 of github.com/tensorflow/serving (commit bc7e9d2b).
"""

# Those in use of tensorflow_serving/model_servers/main.cc, with the types of
# model_servers/server.h.
FLAGS: dict[str, type] = {
    "port": int,
    "rest_api_port": int,
    "enable_batching": bool,
    "allow_version_labels_for_unavailable_models": bool,
    "batching_parameters_file": str,
    "enable_per_model_batching_parameters": bool,
    "model_config_file": str,
    "model_config_file_poll_wait_seconds": int,
    "num_load_threads": int,
    "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int,
    "ssl_config_file": str,
    "grpc_channel_arguments": str,
    "grpc_max_threads": int,
    "monitoring_config_file": str,
    "enable_profiler": bool,
    "enable_grpc_healthcheck_service": bool,
}

# Values of --grpc_channel_arguments: grpc/impl/channel_arg_names.h of github.com/grpc/grpc.
CHANNEL_ARGUMENTS = {"grpc.max_connection_age_ms", "grpc.max_connection_age_grace_ms"}

# util/prometheus_exporter.cc: kPrometheusPath, and each `/` of a name becomes `:`.
METRICS_PATH = "/monitoring/prometheus/metrics"
HISTOGRAM = ("_bucket", "_sum", "_count")
# Name, labels, and whether it is a histogram: servables/tensorflow/util.cc,
# batching/batching_session.cc; the last from tensorflow/cc/saved_model/loader.cc of TensorFlow.
METRICS: dict[str, tuple[set[str], bool]] = {
    ":tensorflow:serving:request_count": ({"model_name", "status"}, False),
    ":tensorflow:serving:request_latency": ({"model_name", "API", "entrypoint"}, True),
    ":tensorflow:serving:runtime_latency": ({"model_name", "API", "runtime"}, True),
    ":tensorflow:serving:batching_session:queuing_latency": ({"thread_pool_name"}, True),
    ":tensorflow:cc:saved_model:load_attempt_count": ({"model_path", "status"}, False),
}
# Labels that Prometheus adds.
TARGET_LABELS = {"job", "instance", "namespace", "pod", "service", "endpoint", "container"}
# google.rpc codes, the values of `status` in request_count.
CODES = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}  # fmt: skip

# Fields of the custom resources of the Prometheus Operator 0.82 that are used or likely:
# example/prometheus-operator-crd of github.com/prometheus-operator/prometheus-operator.
SERVICE_MONITOR_FIELDS = {
    "attachMetadata", "endpoints", "jobLabel", "namespaceSelector", "podTargetLabels",
    "sampleLimit", "selector", "targetLabels",
}  # fmt: skip
ENDPOINT_FIELDS = {
    "authorization", "honorLabels", "interval", "metricRelabelings", "params", "path", "port",
    "relabelings", "scheme", "scrapeTimeout", "targetPort", "tlsConfig",
}  # fmt: skip
RULE_FIELDS = {"alert", "annotations", "expr", "for", "keep_firing_for", "labels", "record"}
DURATION = (
    r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
)
