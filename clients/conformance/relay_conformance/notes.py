"""What a broker double puts on the record of each call: the kinds and fields that scenarios ask for."""

import hashlib
from collections.abc import Iterable

from relay.v1 import job_pb2
from relay.v1 import queue_service_pb2 as pb
from relay_conformance import settling, wire
from relay_conformance.scenario import Answer, Error
from relay_conformance.scripted import Call
from relay_conformance.world import Session, World


class Notes:
    """Writes for one broker double."""

    def __init__(self, broker: str, world: World) -> None:
        self._broker = broker
        self._world = world
        self._record = world.record

    def claim(self, call: Call, known: Session | None, error: Error | None) -> None:
        """A Claim."""
        request: pb.ClaimRequest = call.request
        self._record.add(
            "claim",
            broker=self._broker,
            code=error.code if error else "OK",
            worker_id=request.worker_id,
            queues={one.queue: one.weight for one in request.queues},
            max_in_flight=request.max_in_flight,
            lease_ms=wire.milliseconds(request.lease),
            disconnect_grace_ms=wire.milliseconds(request.disconnect_grace),
            session="known" if known else request.session_id and "unknown",
            in_flight=request.in_flight,
            leases=sorted(self._world.name_of(one) for group in request.leases for one in group.job_ids),
            client_version=request.client_version,
            authorization=_authorization(call),
        )

    def claim_ended(self) -> None:
        """The end of a Claim stream."""
        self._record.add("claim_ended", broker=self._broker)

    def enqueue(
        self, call: Call, jobs: Iterable[job_pb2.JobSpec], request_id: str, script: Answer | None
    ) -> None:
        """An Enqueue or EnqueueBatch and each of its jobs."""
        code = _code(script)
        jobs = list(jobs)
        self._record.add(
            "call", broker=self._broker, rpc=call.rpc, jobs=len(jobs), request_id=request_id, code=code
        )
        for job in jobs:
            self._record.add(
                "enqueue",
                broker=self._broker,
                rpc=call.rpc,
                queue=call.request.queue,
                request_id=request_id,
                job_id=job.id,
                type=job.type,
                payload_bytes=len(job.payload),
                payload_sha256=hashlib.sha256(job.payload).hexdigest(),
                content_type=job.content_type,
                headers=dict(job.headers),
                priority=job.priority,
                delay_ms=wire.milliseconds(job.delay),
                idempotency_key=job.idempotency_key,
                max_runtime_ms=wire.milliseconds(job.max_runtime),
                max_attempts=job.retry.max_attempts,
                initial_backoff_ms=wire.milliseconds(job.retry.initial_backoff),
                authorization=_authorization(call),
                code=code,
            )

    def leases(
        self, call: Call, leases: list[settling.Lease], outcomes: list[str], script: Answer | None
    ) -> None:
        """An Ack, Nack or Extend and each of its leases."""
        self._record.add(
            "call",
            broker=self._broker,
            rpc=call.rpc,
            jobs=len(leases),
            code=_code(script),
            authorization=_authorization(call),
        )
        for lease, outcome in zip(leases, outcomes, strict=True):
            self._record.add(
                call.rpc.lower(),
                broker=self._broker,
                job=self._world.name_of(lease.job_id),
                current=lease.delivery is not None and self._world.is_current(lease.delivery),
                outcome="" if script and script.error else outcome,
                **lease.fields,
            )

    def report(self, call: Call, settled: list[settling.Lease], script: Answer | None) -> bool:
        """The call's WindowReport, if it has one. True when it reached the session."""
        report: pb.WindowReport = call.request.window
        if not report.session_id:
            return False
        session = self._world.sessions.get(report.session_id)
        if session is None:
            self._world.violated(
                f"WindowReport with session_id {report.session_id!r}, which Started never gave"
            )
            return False
        self._record.add(
            "report",
            rpc=call.rpc,
            received=report.received,
            in_flight=report.in_flight,
            seq=report.seq,
            session=report.session_id,
            settles=len(settled),
            sent=session.sent,
        )
        if script is not None and (script.ignore_window or script.error is not None):
            return False
        if report.seq > session.seq:
            session.seq, session.in_flight, session.received = report.seq, report.in_flight, report.received
        return True


def _code(script: Answer | None) -> str:
    return script.error.code if script and script.error else "OK"


def _authorization(call: Call) -> str:
    return call.metadata.get("authorization", "")
