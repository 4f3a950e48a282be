"""Every metric that Trimtab itself knows, a row each. A job may report any other name as well."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """A row: how a metric is called, its unit, and which way is better."""

    name: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    meaning: str


METRICS: tuple[Metric, ...] = (
    Metric("samples_per_s", "samples/s", "higher", "samples of the whole gang over wall time"),
    Metric("step_time_s", "s", "lower", "wall time of a step in the steady window"),
    Metric(
        "usd_per_million_samples", "USD", "lower", "price of a million samples at the measured rate"
    ),
    Metric(
        "usd_per_million_requests",
        "USD",
        "lower",
        "price of a million requests at the measured rate",
    ),
    Metric(
        "usd_per_billion_samples", "USD", "lower", "price of a billion samples (rows) at that rate"
    ),
    Metric("usd_per_hour", "USD", "lower", "price of what the gang holds"),
    Metric(
        "requests_per_s",
        "requests/s",
        "higher",
        "requests of the whole gang over time, as the job reports it",
    ),
    Metric("joules_per_request", "J", "lower", "measured energy per request"),
    Metric("joules_per_sample", "J", "lower", "measured energy per sample"),
    Metric("peak_memory_gib", "GiB", "lower", "largest host memory of all processes of the gang"),
    Metric("gpu_peak_memory_gib", "GiB", "lower", "largest memory in use on one of its GPUs"),
    Metric("gpu_utilization_pct", "%", "higher", "mean over the run of the GPUs' busy share"),
    Metric("gpu_power_w", "W", "lower", "mean power of all its GPUs"),
    Metric(
        "cpu_utilization_pct", "%", "neither", "CPU time of the gang over time and cores it holds"
    ),
    Metric(
        "other_cpu_pct",
        "%",
        "lower",
        "CPU time that other processes took of the cores that it holds",
    ),
    Metric("elapsed_s", "s", "neither", "wall time of the job, as Slurm accounts for it"),
    Metric("rank_peak_memory_gib", "GiB", "lower", "largest host memory of one rank"),
    Metric("gpu_sm_active_pct", "%", "higher", "share of cycles in which multiprocessors had work"),
    Metric("gpu_tensor_active_pct", "%", "higher", "share of cycles in which tensor cores worked"),
    Metric("gpu_dram_active_pct", "%", "neither", "share of cycles in which GPU memory was moved"),
    Metric("cpu_s", "s", "lower", "CPU time of the gang over the run"),
    Metric("energy_j", "J", "lower", "measured energy over the run"),
    Metric("gpu_clock_mhz", "MHz", "higher", "mean clock of the slowest of its GPUs"),
    Metric("gpu_temperature_c", "°C", "lower", "highest temperature of its GPUs"),
    Metric(
        "gpu_throttled_s",
        "s",
        "lower",
        "time that heat or the power supply held one of its GPUs back",
    ),
    Metric(
        "gpu_pcie_rx_bytes",
        "B",
        "neither",
        "PCIe traffic to its GPUs, estimated from 20 ms at a time",
    ),
    Metric("gpu_pcie_tx_bytes", "B", "neither", "PCIe traffic from its GPUs, estimated likewise"),
    Metric("gpu_nvlink_bytes", "B", "neither", "NVLink payload sent and received by its GPUs"),
    Metric("gpu_ecc_errors", "", "lower", "uncorrected memory errors of its GPUs"),
    Metric("gpu_xid_errors", "", "lower", "critical errors of its GPUs that the driver told"),
    Metric("gpu_first_xid", "", "neither", "the driver's number of the first of them"),
    Metric(
        "gpu_nvml_error",
        "",
        "neither",
        "code of an error that made GPU figures unknown; 15 is a lost GPU",
    ),
    Metric(
        "cpu_throttled_s",
        "s",
        "lower",
        "time that CPU quotas held its control group back, all cores together",
    ),
    Metric(
        "cpu_pressure_s", "s", "lower", "time in which anything on the computer waited for a core"
    ),
    Metric("cpu_clock_mhz", "MHz", "higher", "mean clock of some of the cores that it holds"),
    Metric(
        "cgroup_peak_memory_gib",
        "GiB",
        "lower",
        "largest memory, page cache too, of all in its control group",
    ),
    Metric("cgroup_io_read_bytes", "B", "neither", "read from disks by all in its control group"),
    Metric(
        "cgroup_io_written_bytes", "B", "neither", "written to disks by all in its control group"
    ),
    Metric("io_read_bytes", "B", "neither", "read from disks by the gang"),
    Metric("io_written_bytes", "B", "neither", "written by the gang for disks, at once or later"),
    Metric(
        "network_received_bytes", "B", "neither", "received by the whole computer, without RDMA"
    ),
    Metric("network_sent_bytes", "B", "neither", "sent by the whole computer, without RDMA"),
    Metric("loopback_bytes", "B", "neither", "sent within the whole computer over its loopback"),
    Metric("time_to_first_step_s", "s", "lower", "from launch to the end of the first step"),
    Metric("pause_share_pct", "%", "lower", "share of time in evaluation and checkpoints"),
    Metric(
        "loader_wait_pct",
        "%",
        "lower",
        "share of the time of a step in which ranks waited for their input",
    ),
    Metric("rank_skew", "ratio", "lower", "slowest over median rank"),
    Metric("p99_latency_ms", "ms", "lower", "99th percentile of latency, as the job reports it"),
    Metric("p50_latency_ms", "ms", "lower", "median of latency, as the job reports it"),
    Metric(
        "goodput_per_s",
        "requests/s",
        "higher",
        "highest rate at which the 99th percentile of latency keeps its objective",
    ),
    Metric(
        "slo_attainment_pct", "%", "higher", "share of requests that kept the latency objective"
    ),
    Metric("error_pct", "%", "lower", "share of requests that failed"),
    Metric("loss", "", "lower", "training loss, mean of the last tenth of the window"),
    Metric("auc", "", "higher", "area under the ROC curve on held-out data, as the job reports it"),
    Metric("ndcg_at_10", "", "higher", "discounted gain of the held-out item in the first 10"),
    Metric("hr_at_10", "", "higher", "share of held-out items in the first 10"),
    Metric("quality_samples", "samples", "neither", "samples trained when quality was measured"),
)

BY_NAME = {metric.name: metric for metric in METRICS}
