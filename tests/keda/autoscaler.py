"""KEDA's arithmetic for one trigger: activity decides between none and some replicas, the metrics how many."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import grpc

from relay_server.keda import externalscaler_pb2 as pb
from relay_server.keda import externalscaler_pb2_grpc

_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a ScaledObject says, its times in seconds, far shorter than in production."""

    replicas_max: int = 3
    cooldown_s: float = 1.5
    stabilization_s: float = 1.0


@dataclass(slots=True)
class Autoscaler:
    """Asks the scaler as KEDA does, and says how many replicas there should be."""

    channel: grpc.Channel
    metadata: Mapping[str, str]
    policy: Policy = Policy()
    values: dict[str, float] = field(default_factory=dict)
    _active_at: float = -math.inf
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)

    def decide(self, now: float, replicas: int) -> int:
        """One poll."""
        stub = externalscaler_pb2_grpc.ExternalScalerStub(self.channel)
        ref = pb.ScaledObjectRef(name="workers", namespace="default", scalerMetadata=self.metadata)
        wanted, active = 0, False
        for spec in stub.GetMetricSpec(ref).metricSpecs:
            request = pb.GetMetricsRequest(scaledObjectRef=ref, metricName=spec.metricName)
            value = sum(found.metricValueFloat for found in stub.GetMetrics(request).metricValues)
            self.values[spec.metricName] = value
            wanted = max(wanted, _replicas(value, spec.targetSizeFloat, replicas))
            active |= stub.IsActive(ref).result
        if active:
            self._active_at = now
        elif now - self._active_at >= self.policy.cooldown_s:
            self._wanted.clear()
            return 0
        if replicas == 0:
            return 1 if active else 0
        return self._stable(now, min(max(wanted, 1), self.policy.replicas_max))

    def _stable(self, now: float, wanted: int) -> int:
        """The largest wish of late: fewer replicas only once fewer were wanted all along."""
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - self.policy.stabilization_s:
            self._wanted.popleft()
        return max(number for _, number in self._wanted)


def _replicas(value: float, target: float, replicas: int) -> int:
    """What Kubernetes makes of a metric: both in thousandths, and no change for a tenth more or less."""
    value, target = round(value * 1000), round(target * 1000)
    if replicas and abs(1 - value / (target * replicas)) <= _TOLERANCE:
        return replicas
    return math.ceil(value / target)
