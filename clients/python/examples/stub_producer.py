"""A producer of generated stubs alone: `python stub_producer.py localhost:50051 emails 1000`."""

import json
import sys
import uuid

import grpc

from relay.v1 import errors_pb2, job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay.v1.queue_service_pb2_grpc import QueueServiceStub

BATCH = 500
# gRPC itself repeats what found no server, with the same ids: a repeat never makes a second job.
RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "2s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
CONFIG = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": RETRY}]})


def main(target: str, queue: str, count: int) -> int:
    accepted = 0
    with grpc.insecure_channel(target, options=[("grpc.service_config", CONFIG)]) as channel:
        relay = QueueServiceStub(channel)
        for first in range(0, count, BATCH):
            numbers = range(first, min(first + BATCH, count))
            jobs = [
                job_pb2.JobSpec(id=str(uuid.uuid4()), type="hello", payload=json.dumps({"n": n}).encode())
                for n in numbers
            ]
            request = pb.EnqueueBatchRequest(queue=queue, jobs=jobs, request_id=str(uuid.uuid4()))
            for job, result in zip(jobs, relay.EnqueueBatch(request, timeout=20).results, strict=True):
                if result.reason == errors_pb2.ERROR_REASON_UNSPECIFIED:
                    accepted += 1
                else:
                    print(job.id, errors_pb2.ErrorReason.Name(result.reason), file=sys.stderr)
    print(accepted, "accepted")
    return 0 if accepted == count else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
