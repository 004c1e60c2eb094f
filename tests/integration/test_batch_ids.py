"""A named batch whose jobs have no ids is answered with the same ids when it is repeated (I10, I17)."""

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from tests.support.relay import Relay, new_id, new_queue


async def test_a_repeated_batch_without_job_ids_hears_the_ids_that_exist(relay: Relay) -> None:
    request = pb.EnqueueBatchRequest(
        queue=new_queue(), request_id=new_id(), jobs=[job_pb2.JobSpec(type="t") for _ in range(20)]
    )
    first = await relay.queue.EnqueueBatch(request)
    again = await relay.queue.EnqueueBatch(request)
    ids = [result.job_id for result in first.results]
    assert [result.job_id for result in again.results] == ids
    assert ids == sorted(set(ids)), "distinct, and in the order of the batch"
    other = await relay.queue.EnqueueBatch(
        pb.EnqueueBatchRequest(queue=request.queue, request_id=new_id(), jobs=request.jobs)
    )
    assert not {result.job_id for result in other.results} & set(ids)
