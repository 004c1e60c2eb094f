"""docs/protocol.md says everything that the contract and the limits have, with the same values."""

import re

import pytest
from google.protobuf.descriptor import EnumDescriptor, FileDescriptor

from relay.v1 import admin_service_pb2, dead_letter_service_pb2, errors_pb2, job_pb2, queue_service_pb2
from relay_server import limits
from relay_server.contract import status
from tests.support import protocol_page
from tests.support.protocol_page import PAGE, section

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (queue_service_pb2, dead_letter_service_pb2, admin_service_pb2, job_pb2, errors_pb2)
]
UNITS = {"SECOND_MS", "DAY_MS"}


def _limits() -> dict[str, float]:
    return {name: value for name, value in vars(limits).items() if name.isupper() and name not in UNITS}


def _code_names(text: str) -> set[str]:
    return set(re.findall(r"`([A-Za-z_]+)`", text))


@pytest.mark.parametrize("service", ["QueueService", "DeadLetterService", "AdminService"])
def test_every_call_has_its_place(service: str) -> None:
    (descriptor,) = [file.services_by_name[service] for file in FILES if service in file.services_by_name]
    named = _code_names(section(service) + (section("Claim") if service == "QueueService" else ""))
    assert {method.name for method in descriptor.methods} <= named


def test_every_outcome_is_explained() -> None:
    enums: list[EnumDescriptor] = [
        enum for file in FILES for enum in file.enum_types_by_name.values() if enum.name != "ErrorReason"
    ]
    missing = [
        value.name
        for enum in enums
        for value in enum.values
        if value.number and value.name not in _code_names(PAGE)
    ]
    assert not missing


def test_every_frame_is_explained() -> None:
    frames = queue_service_pb2.ClaimResponse.DESCRIPTOR.oneofs_by_name["frame"].fields
    assert {frame.name for frame in frames} <= _code_names(section("Claim"))


def test_the_table_of_reasons_is_the_contract_and_the_server() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", section("Errors"), re.MULTILINE))
    reasons = {status.reason_name(number): number for number in errors_pb2.ErrorReason.values() if number}
    assert set(rows) == set(reasons)
    for code, number in status.TABLE.values():
        assert rows[status.reason_name(number)] == code.name


def test_every_limit_stands_with_its_value() -> None:
    table = protocol_page.limits()
    assert set(table) == set(_limits())
    for name, limit in _limits().items():
        value, unit = table[name]
        if isinstance(limit, str):
            assert value == f"`{limit}`"
            continue
        assert float(value.replace(" ", "")) == limit, name
        for part, its_unit in (("_BYTES_", "bytes"), ("_MS_", "ms")):
            if part in f"{name}_":
                assert unit == its_unit, name
