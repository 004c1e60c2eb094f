"""A stored body is a JobSpec that is read as a Job, and plain jobs take a short way: both must know every field."""

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor

from relay.v1 import job_pb2
from relay_server.rpc.parse_job import _is_plain

SPEC, JOB = job_pb2.JobSpec.DESCRIPTOR, job_pb2.Job.DESCRIPTOR
_SCHEDULE = {field.name for field in SPEC.oneofs_by_name["schedule"].fields}
# Fields that every job may have on the short way: new_job reads them before, or needs no check of them.
_PLAIN = {"id", "type", "payload", *_SCHEDULE}
_VALUES: dict[str, Any] = {
    "content_type": "text/plain",
    "headers": {"a": "b"},
    "priority": 1,
    "retry": job_pb2.RetryPolicy(max_attempts=2),
    "max_runtime": {"seconds": 1},
    "expires_at": {"seconds": 1},
    "idempotency_key": "k",
    "idempotency_window": {"seconds": 1},
}


def _shape(field: FieldDescriptor) -> tuple[object, ...]:
    of = field.message_type.full_name if field.message_type else None
    of = "map" if field.message_type and field.message_type.GetOptions().map_entry else of
    return field.number, field.type, field.is_repeated, of


@pytest.mark.parametrize("name", sorted(field.name for field in SPEC.fields if field.name not in _SCHEDULE))
def test_a_field_of_a_spec_is_the_same_in_a_job(name: str) -> None:
    assert _shape(SPEC.fields_by_name[name]) == _shape(JOB.fields_by_name[name])


def test_no_field_of_a_job_has_the_number_of_a_schedule() -> None:
    numbers = {SPEC.fields_by_name[name].number for name in _SCHEDULE}
    assert not numbers & {field.number for field in JOB.fields}


@pytest.mark.parametrize("name", sorted(field.name for field in SPEC.fields if field.name not in _PLAIN))
def test_a_job_with_a_checked_field_is_not_plain(name: str) -> None:
    assert not _is_plain(job_pb2.JobSpec(type="t", **{name: _VALUES[name]}))
