"""The status of a call that gRPC itself ended."""

import grpc
import pytest
from google.rpc import code_pb2

from relay_server.gateway.admitting.refusals import http_code, retry_after
from relay_server.gateway.transcoding.channel import status_of


def ended(code: grpc.StatusCode, details: str = "") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details)


@pytest.mark.parametrize(
    ("code", "http"),
    [
        (grpc.StatusCode.CANCELLED, 429),  # too many calls waited to be looked at
        (grpc.StatusCode.UNAVAILABLE, 503),
    ],
)
def test_a_call_that_may_be_repeated_says_when(code: grpc.StatusCode, http: int) -> None:
    status = status_of(ended(code), 10.0)
    assert http_code(status) == http
    assert retry_after(status) == {"retry-after": "1"}


def test_a_call_that_was_too_slow() -> None:
    status = status_of(ended(grpc.StatusCode.DEADLINE_EXCEEDED), 10.0)
    assert (status.code, http_code(status)) == (code_pb2.DEADLINE_EXCEEDED, 504)
