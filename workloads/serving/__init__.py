"""A ranking model served by replicas behind a router, and the load that measures any HTTP server.

    python -m workloads.serving --replicas=2 --max-batch=16 --slo-ms=50    a trial: fleet and load
    python -m workloads.serving.fleet --port=8600 --admin-port=8601        a fleet that stays
    python -m workloads.serving.load --url=... --slo-ms=50 --start -- ...  any server, any command

Only replicas import torch.
"""
