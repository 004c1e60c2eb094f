"""Notes which queues this server used of late, so that every server looks after those."""

from relay_server.engine import Engine
from relay_server.loops.loop import Loop, LoopMetrics, every

INTERVAL_S = 1.0


def make_renewer(engine: Engine, metrics: LoopMetrics) -> Loop[int]:
    """Costs nothing while no queue is due to be noted again."""
    return Loop("renewer", engine.renew_names, pause_s=every(INTERVAL_S), metrics=metrics)
