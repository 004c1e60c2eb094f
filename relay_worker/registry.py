"""The registry: which function runs which job type, and how it wants to be called."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from relay_client.durations import parse_duration
from relay_client.limits import TYPE_BYTES_MAX
from relay_worker.context import Context
from relay_worker.decoding import Decoder, UnsupportedHint, decoder_for

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A registered function of 0, 1 (payload) or 2 (payload, ctx) `parameters`; `context_only`: its one is ctx."""

    type: str
    function: Callable[..., Any]
    is_async: bool
    cpu: bool
    # Seconds; 0 means no limit.
    max_runtime_s: float
    decode: Decoder
    parameters: int
    context_only: bool

    def arguments(self, payload: bytes, content_type: str, context: Callable[[], Context]) -> tuple[Any, ...]:
        """What to call the function with. Raises UndecodablePayload."""
        if self.parameters == 0:
            return ()
        if self.context_only:
            return (context(),)
        value = self.decode(payload, content_type)
        return (value,) if self.parameters == 1 else (value, context())


class Jobs:
    """A registry of handlers. Plain functions go in unchanged and can still be called."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def handler(
        self,
        job_type: str,
        *,
        max_runtime: str | float | timedelta | None = None,
        cpu: bool = False,
    ) -> Callable[[Function], Function]:
        """Registers the decorated function for a job type.

        job_type     1 to 128 bytes, once per registry
        max_runtime  longest one run may take ("30s"); the shorter of this and the job's own counts
        cpu          run in a process of its own pool: for CPU-bound work, and the only kind of sync handler that
                     can be killed. The function must be sync and importable by name.
        """
        limit_s = 0.0 if max_runtime is None else parse_duration(max_runtime, "max_runtime").total_seconds()

        def register(function: Function) -> Function:
            self._add(_handler(job_type, function, cpu=cpu, max_runtime_s=limit_s))
            return function

        return register

    def _add(self, handler: Handler) -> None:
        if not 1 <= len(handler.type.encode()) <= TYPE_BYTES_MAX:
            raise ValueError(f"job_type: {handler.type!r} is not 1 to {TYPE_BYTES_MAX} bytes long")
        if handler.type in self._handlers:
            raise ValueError(f"job_type: {handler.type!r} already has a handler in this registry")
        self._handlers[handler.type] = handler

    def find(self, job_type: str) -> Handler | None:
        """The handler of a type, or None."""
        return self._handlers.get(job_type)

    def __iter__(self) -> Iterator[Handler]:
        return iter(self._handlers.values())

    def __len__(self) -> int:
        return len(self._handlers)


def _handler(job_type: str, function: Callable[..., Any], *, cpu: bool, max_runtime_s: float) -> Handler:
    is_async = inspect.iscoroutinefunction(function)
    name = getattr(function, "__qualname__", repr(function))
    if cpu and is_async:
        raise TypeError(
            f"{name}: cpu=True is for sync functions; an async one cannot be CPU-bound and polite"
        )
    if cpu and "<locals>" in name:
        raise TypeError(
            f"{name}: cpu=True needs a function at the top level of a module, to import it by name"
        )
    parameters = [
        one
        for one in inspect.signature(function).parameters.values()
        if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
    ]
    required = [one for one in parameters if one.default is one.empty]
    if len(required) > 2:
        raise TypeError(
            f"{name}: a handler takes (payload, ctx) at most, this one needs {len(required)} arguments"
        )
    taken = parameters[:2]
    hints = _hints(function, name)
    payload_hint = hints.get(taken[0].name, Any) if taken else Any
    context_only = payload_hint is Context
    # A second parameter with a default and no Context hint is the function's own business.
    if len(taken) == 2 and taken[1].default is not taken[1].empty and hints.get(taken[1].name) is not Context:
        taken = taken[:1]
    try:
        decode = decoder_for(Any if context_only else payload_hint)
    except UnsupportedHint as error:
        raise TypeError(f"{name}: parameter {taken[0].name!r}: {error}") from None
    return Handler(
        type=job_type,
        function=function,
        is_async=is_async,
        cpu=cpu,
        max_runtime_s=max_runtime_s,
        decode=decode,
        parameters=len(taken),
        context_only=context_only,
    )


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except NameError as error:
        raise TypeError(f"{name}: its type hints cannot be read: {error}") from None
    except TypeError:  # a callable object without annotations of its own
        return {}
