"""The services that the gateway serves over HTTP, as descriptors."""

from collections.abc import Sequence

from google.protobuf.descriptor import ServiceDescriptor

from relay.v1 import admin_service_pb2, dead_letter_service_pb2, queue_service_pb2

SERVICES: Sequence[ServiceDescriptor] = tuple(
    service
    for module in (queue_service_pb2, dead_letter_service_pb2, admin_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
)
