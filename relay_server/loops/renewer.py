"""Notes which queues this server used of late, so that every server looks after those."""

from relay_server import errors
from relay_server.engine import Names, Operations
from relay_server.loops.loop import Loop, LoopMetrics, every

INTERVAL_S = 1.0


class Renewer:
    """Notes each queue that this server used. Costs nothing while none is due to be noted again."""

    def __init__(self, names: Names, ops: Operations) -> None:
        self._names = names
        self._ops = ops

    async def run_once(self) -> int:
        """Returns how many queues were forgotten meanwhile and hold jobs. Those are known again."""
        forgotten = 0
        for queue in await self._names.renew():
            if await self._holds_jobs(queue):
                forgotten += 1
                await self._names.keep_known(queue)
        return forgotten

    async def _holds_jobs(self, queue: str) -> bool:
        try:
            now = await self._ops.stats(queue)
        except errors.WrongState:  # damaged, which nobody sees as long as the queue is not known
            return True
        return any((now.ready, now.delayed, now.inflight, now.dead, now.unreadable))


def make_renewer(names: Names, ops: Operations, metrics: LoopMetrics) -> Loop[int]:
    return Loop("renewer", Renewer(names, ops).run_once, pause_s=every(INTERVAL_S), metrics=metrics)
