"""The dispatchers of this server: one for each queue that a stream claims from."""

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType

from relay_server import tasks
from relay_server.claims.dispatcher import LOOK_MAX_S, Dispatcher
from relay_server.claims.grants import Subscriber
from relay_server.claims.hand_back import HandBack
from relay_server.claims.session import Session
from relay_server.claims.sessions import Sessions
from relay_server.engine import Transitions, Wakeups
from relay_server.model import ClaimedJob

# A server with thousands of queues that nobody fills looks at each less often: so many looks a second in all.
LOOKS_PER_S_MAX = 100
# How many queues may make their first claim at the same time: a storm of them must not hold up the others' claims.
FIRST_LOOKS_AT_ONCE = 8


class Dispatchers:
    """Starts a dispatcher with the first stream of a queue, and ends it with the last."""

    def __init__(
        self,
        transitions: Transitions,
        wakeups: Wakeups,
        sessions: Sessions,
        hand_back: HandBack,
        *,
        spawn: tasks.Spawn,
        on_claimed: Callable[[str, list[ClaimedJob]], None],
    ) -> None:
        self._transitions = transitions
        self._wakeups = wakeups
        self._sessions = sessions
        self._hand_back = hand_back
        self._spawn = spawn
        self._on_claimed = on_claimed
        self._first_looks = asyncio.Semaphore(FIRST_LOOKS_AT_ONCE)
        self._running: dict[str, Dispatcher] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def running(self) -> Mapping[str, Dispatcher]:
        """The dispatchers by queue."""
        return MappingProxyType(self._running)

    def subscribe(self, subscriber: Subscriber) -> None:
        """The stream takes jobs from now on."""
        for queue in subscriber.session.terms.queues:
            dispatcher = self._running.get(queue)
            if dispatcher is None:
                dispatcher = self._running[queue] = Dispatcher(
                    queue,
                    self._transitions,
                    self._sessions,
                    self._hand_back,
                    on_claimed=self._on_claimed,
                    wanting=self._wanting,
                    siblings=self._of,
                    look_max_s=self._look_max_s,
                    first_looks=self._first_looks,
                )
                self._tasks[queue] = self._spawn(self._run(dispatcher), f"dispatch {queue}")
            dispatcher.resume()
            dispatcher.subscribers[subscriber.session.key] = subscriber
            dispatcher.window_opened()  # it may sleep because no other stream has free slots

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """The stream takes no more jobs; a queue without streams needs no dispatcher."""
        for queue in subscriber.session.terms.queues:
            dispatcher = self._running.get(queue)
            if dispatcher is None or dispatcher.subscribers.get(subscriber.session.key) is not subscriber:
                continue
            del dispatcher.subscribers[subscriber.session.key]
            if not dispatcher.subscribers:
                dispatcher.stop()

    def window_opened(self, session: Session) -> None:
        for dispatcher in self._of(session):
            dispatcher.window_opened()

    async def stop(self) -> None:
        """Stops all, and waits for the claims that are under way."""
        for dispatcher in self._running.values():
            dispatcher.stop()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _run(self, dispatcher: Dispatcher) -> None:
        """One dispatcher a queue at any time: it leaves only when it has seen its last claim to the end."""
        stop_listening = self._wakeups.listen(dispatcher.queue, dispatcher.published)
        try:
            await dispatcher.run()
        finally:
            stop_listening()
            del self._running[dispatcher.queue], self._tasks[dispatcher.queue]

    def _look_max_s(self) -> float:
        return max(LOOK_MAX_S, len(self._running) / LOOKS_PER_S_MAX)

    def _of(self, session: Session) -> list[Dispatcher]:
        return [self._running[queue] for queue in session.terms.queues if queue in self._running]

    def _wanting(self, session: Session) -> list[str]:
        return [dispatcher.queue for dispatcher in self._of(session) if dispatcher.looking]
