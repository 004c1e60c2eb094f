"""Every domain error is coded once; every reason of the contract has an error, or is known to come from elsewhere."""

import inspect

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from relay.v1 import errors_pb2
from relay_server import errors
from relay_server.contract import status

ELSEWHERE = {"INTERNAL"}  # any other exception


def _errors() -> set[type[errors.RelayError]]:
    return {
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.RelayError) and one is not errors.RelayError
    }


def test_every_domain_error_is_coded() -> None:
    assert set(status.TABLE) == _errors()


def test_every_reason_has_one_error_or_comes_from_elsewhere() -> None:
    coded = [status.reason_name(reason) for _, reason in status.TABLE.values()]
    assert len(coded) == len(set(coded))
    assert set(coded) | ELSEWHERE == {status.reason_name(n) for n in errors_pb2.ErrorReason.values() if n}
    assert not set(coded) & ELSEWHERE


def _details(kind: type[errors.RelayError]) -> tuple[status_pb2.Status, set[str]]:
    error = errors.InvalidField([("a", "b")]) if kind is errors.InvalidField else kind(retry_after_ms=1500)
    coded = status.to_status(error)
    info = error_details_pb2.ErrorInfo()
    assert coded.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("relay", status.reason_name(status.TABLE[kind][1]))
    return coded, {detail.TypeName() for detail in coded.details}


@pytest.mark.parametrize("kind", sorted(_errors(), key=str))
def test_details_follow_the_code(kind: type[errors.RelayError]) -> None:
    coded, details = _details(kind)
    code = status.TABLE[kind][0]
    assert coded.code == code.value[0]
    assert coded.message
    assert ("google.rpc.QuotaFailure" in details) == (code is StatusCode.RESOURCE_EXHAUSTED)
    assert ("google.rpc.BadRequest" in details) == (kind is errors.InvalidField)
    assert ("google.rpc.RetryInfo" in details) == (kind is not errors.InvalidField)


def test_a_defect_is_told_by_its_request_id_alone() -> None:
    coded = status.internal_status("cafe")
    info = error_details_pb2.ErrorInfo()
    assert coded.details[0].Unpack(info)
    assert (coded.code, info.reason, dict(info.metadata)) == (13, "INTERNAL", {"request_id": "cafe"})
    assert len(coded.details) == 1
