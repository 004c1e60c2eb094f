"""A worker of generated stubs alone: `python stub_worker.py localhost:50051 emails`. See docs/writing-a-client.md."""

import json
import random
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceStub

SLOTS = 4
relay = QueueServiceStub(grpc.insecure_channel(sys.argv[1], options=[("grpc.keepalive_time_ms", 10_000)]))
request = pb.ClaimRequest(queues=[pb.QueueWeight(queue=sys.argv[2])], worker_id="stubs", max_in_flight=SLOTS)
held: dict[str, pb.LeaseGroup] = {}  # job id -> its lease, until it is settled or lost


def run(job: job_pb2.Job, lease: pb.LeaseGroup) -> None:
    nack = pb.NackedJob(queue=lease.queue, job_id=job.id, lease_token=lease.lease_token)
    try:
        n = json.loads(job.payload)["n"]
        print(f"{job.type} {n}\n", end="", flush=True)  # the work itself
    except Exception as error:  # noqa: BLE001 - whatever it is, the job is tried again
        nack.kind = pb.NACK_KIND_RETRY
        nack.error.type, nack.error.message = type(error).__name__, str(error)[:1000]
    if held.get(job.id) is lease:  # else it is lost, and somebody else's
        try:
            if nack.kind == pb.NACK_KIND_RETRY:
                relay.Nack(pb.NackRequest(jobs=[nack]), timeout=10)
            else:
                relay.Ack(pb.AckRequest(leases=[lease]), timeout=10)
        finally:  # not settled: the lease ends by itself, and the job comes back
            held.pop(job.id, None)


def heartbeat() -> None:
    while True:
        time.sleep(10)  # a third of the lease, which is 30 s unless asked otherwise
        leases = list(held.values())
        try:
            answer = relay.Extend(pb.ExtendRequest(leases=leases), timeout=5)
        except grpc.RpcError:
            continue
        for lease, result in zip(leases, answer.results, strict=True):
            if result.outcome != pb.LEASE_OUTCOME_OK:
                held.pop(lease.job_ids[0], None)


def take(frame: pb.ClaimResponse, pool: ThreadPoolExecutor) -> None:
    if frame.HasField("started"):
        request.session_id = frame.started.session_id
    for claimed in frame.jobs.jobs:
        token, job = frame.jobs.lease_token, claimed.job
        held[job.id] = pb.LeaseGroup(queue=frame.jobs.queue, lease_token=token, job_ids=[job.id])
        pool.submit(run, job, held[job.id])
    for cancelled in frame.cancel.jobs:
        held.pop(cancelled.job_id, None)


signal.signal(signal.SIGTERM, lambda *_: sys.exit())
threading.Thread(target=heartbeat, daemon=True).start()
with ThreadPoolExecutor(SLOTS) as pool:  # its end waits for what runs
    while True:
        request.in_flight = len(held)
        request.ClearField("leases")
        request.leases.extend(list(held.values()))
        try:
            for frame in relay.Claim(request):
                take(frame, pool)
        except grpc.RpcError as error:
            print("reconnecting:", error, file=sys.stderr)
        time.sleep(random.uniform(0.1, 1))
