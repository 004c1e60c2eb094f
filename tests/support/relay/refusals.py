"""Reads the status and the details of a failed call."""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed call, as its caller reads it."""

    code: grpc.StatusCode
    text: str
    reason: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    quota: list[str] = field(default_factory=list)


async def refusal(
    call: "Awaitable[Any] | grpc.aio.UnaryStreamCall[Any, Any] | grpc.aio.StreamStreamCall[Any, Any]",
) -> Refusal:
    """The error of a call that must fail. A stream is read until it fails."""
    try:
        if isinstance(call, grpc.aio.UnaryStreamCall | grpc.aio.StreamStreamCall):
            while await call.read() is not grpc.aio.EOF:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        return read_refusal(error)
    raise AssertionError("the call succeeded")


def read_refusal(error: grpc.aio.AioRpcError) -> Refusal:
    values: dict[str, Any] = {}
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # an AioRpcError has what is read of it
    for detail in status.details if status is not None else []:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            values |= {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(detail.value)
            values["fields"] = {one.field: one.description for one in bad.field_violations}
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
            values["retry_after_s"] = delay.seconds + delay.nanos / 1e9
        elif detail.Is(error_details_pb2.QuotaFailure.DESCRIPTOR):
            quota = error_details_pb2.QuotaFailure.FromString(detail.value)
            values["quota"] = [one.subject for one in quota.violations]
    return Refusal(error.code(), error.details() or "", **values)
