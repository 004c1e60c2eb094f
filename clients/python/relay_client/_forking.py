"""No thread is inside gRPC while the process forks: its fork handlers do not run otherwise, and the child may crash."""

import os
import threading
from types import TracebackType
from typing import Final

WAIT_S: Final = 2.0


class _Calls:
    """The calls of this process's clients. A context manager round each call, which waits while the process forks.

    A fork waits for the calls under way, for WAIT_S at most: a server that does not answer must not stop it.
    """

    def __init__(self) -> None:
        # Reentrant: a signal handler may fork in the middle of a call.
        self._changed = threading.Condition(threading.RLock())
        self._under_way = 0

    def __enter__(self) -> None:
        with self._changed:
            self._under_way += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def before_fork(self) -> None:
        """Holds the lock until `after_in_parent`, so that no call begins."""
        self._changed.acquire()
        self._changed.wait_for(lambda: self._under_way <= 0, WAIT_S)

    def after_in_parent(self) -> None:
        self._changed.release()

    def after_in_child(self) -> None:
        """The lock and the calls of other threads are the parent's."""
        self._changed = threading.Condition(threading.RLock())
        self._under_way = 0


calls: Final = _Calls()
os.register_at_fork(
    before=calls.before_fork, after_in_parent=calls.after_in_parent, after_in_child=calls.after_in_child
)
