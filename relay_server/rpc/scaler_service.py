"""ExternalScaler: what KEDA asks to scale workers."""

import asyncio
from typing import Any

import grpc

from relay_server import errors
from relay_server.keda import externalscaler_pb2, externalscaler_pb2_grpc
from relay_server.rpc.scaler import Trigger, is_active, metric_value, read_trigger
from relay_server.rpc.scaler_reads import ScalerReads
from relay_server.rpc.stats_feed import StatsFeed
from relay_server.rpc.validate import Checks

pb = externalscaler_pb2
Context = grpc.aio.ServicerContext[Any, Any]


class ScalerService(externalscaler_pb2_grpc.ExternalScalerServicer):
    """Keeps nothing of a trigger. Set `draining` and close the feed, and its streams end with Draining."""

    def __init__(self, reads: ScalerReads, feed: StatsFeed, *, draining: asyncio.Event) -> None:
        self._reads = reads
        self._feed = feed
        self._draining = draining

    async def IsActive(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        trigger = read_trigger(request.scalerMetadata)
        return pb.IsActiveResponse(result=is_active(trigger, await self._reads.queue(trigger.queue)))

    async def StreamIsActive(self, request: pb.ScaledObjectRef, context: Context) -> None:  # type: ignore[override]
        trigger, last_sent = read_trigger(request.scalerMetadata), None
        with self._feed.watching() as following:
            while True:
                await following()
                active = is_active(trigger, self._feed.snapshots.get(trigger.queue))
                if active is not last_sent:
                    await context.write(pb.IsActiveResponse(result=active))
                    last_sent = active

    async def GetMetricSpec(self, request: pb.ScaledObjectRef, context: Context) -> pb.GetMetricSpecResponse:
        return _spec(read_trigger(request.scalerMetadata))

    async def StreamMetricSpec(self, request: pb.ScaledObjectRef, context: Context) -> None:  # type: ignore[override]
        await context.write(_spec(read_trigger(request.scalerMetadata)))
        await self._draining.wait()  # targets are the trigger's own: there is never a second answer
        raise errors.Draining(retry_after_ms=1000)

    async def GetMetrics(self, request: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        trigger = read_trigger(request.scaledObjectRef.scalerMetadata)
        if request.metricName not in trigger.targets:
            checks = Checks()
            checks.add("metricName", f"must be one of {', '.join(trigger.targets)}")
            checks.done()
        queue = await self._reads.queue(trigger.queue)
        crew = await self._reads.crew(trigger.queue)
        value = metric_value(trigger, request.metricName, queue, crew)
        return pb.GetMetricsResponse(
            metricValues=[pb.MetricValue(metricName=request.metricName, metricValueFloat=value)]
        )


def _spec(trigger: Trigger) -> pb.GetMetricSpecResponse:
    return pb.GetMetricSpecResponse(
        metricSpecs=[
            pb.MetricSpec(metricName=metric, targetSizeFloat=target)
            for metric, target in trigger.targets.items()
        ]
    )
