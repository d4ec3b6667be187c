"""Facts about TensorFlow Serving and what stands around it, each with its source.

Read at tag 2.20.0 of github.com/tensorflow/serving (commit bc7e9d2b).
"""

# tensorflow_serving/model_servers/main.cc, with the types of model_servers/server.h.
FLAGS: dict[str, type] = {
    "port": int,
    "grpc_socket_path": str,
    "rest_api_port": int,
    "rest_api_num_threads": int,
    "rest_api_timeout_in_ms": int,
    "rest_api_enable_cors_support": bool,
    "enable_batching": bool,
    "allow_version_labels_for_unavailable_models": bool,
    "batching_parameters_file": str,
    "enable_per_model_batching_parameters": bool,
    "model_config_file": str,
    "model_config_file_poll_wait_seconds": int,
    "model_name": str,
    "model_base_path": str,
    "num_load_threads": int,
    "num_unload_threads": int,
    "max_num_load_retries": int,
    "load_retry_interval_micros": int,
    "file_system_poll_wait_seconds": int,
    "flush_filesystem_caches": bool,
    "tensorflow_session_parallelism": int,
    "tensorflow_session_config_file": str,
    "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int,
    "use_alts_credentials": bool,
    "ssl_config_file": str,
    "platform_config_file": str,
    "per_process_gpu_memory_fraction": float,
    "saved_model_tags": str,
    "grpc_channel_arguments": str,
    "grpc_max_threads": int,
    "enable_model_warmup": bool,
    "num_request_iterations_for_warmup": int,
    "monitoring_config_file": str,
    "remove_unused_fields_from_bundle_metagraph": bool,
    "prefer_tflite_model": bool,
    "num_tflite_pools": int,
    "num_tflite_interpreters_per_pool": int,
    "enable_signature_method_name_check": bool,
    "xla_cpu_compilation_enabled": bool,
    "xla_gpu_compilation_enabled": bool,
    "enable_profiler": bool,
    "thread_pool_factory_config_file": str,
    "mixed_precision": str,
    "skip_initialize_tpu": bool,
    "enable_grpc_healthcheck_service": bool,
    "enable_serialization_as_tensor_content": bool,
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
