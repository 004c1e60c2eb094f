"""Frees the memory of an aborted call at once.

gRPC's state of a call holds the error that aborted it. The error holds its traceback and the error before it, those
hold the frames that it passed, and the frames hold the request and the context, which holds the state. Such a cycle
lives until the next full garbage collection, which is rare (memory.py): each refused call would keep its request.
"""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc


def without_cycles(handle: Any) -> Any:
    """Wraps a handler so that errors leave no cycle. Must be the outermost: the next frame may not hold a context."""
    if inspect.isasyncgenfunction(handle):

        async def dialogue(requests: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for response in handle(requests, context):
                    yield response
            except grpc.aio.AbortError as error:
                del requests, context
                _let_go(error)
                raise

        return dialogue

    async def call(request: Any, context: Any) -> Any:
        try:
            return await handle(request, context)
        except grpc.aio.AbortError as error:
            del request, context
            _let_go(error)
            raise

    return call


def _let_go(error: BaseException) -> None:
    error.__traceback__ = error.__context__ = error.__cause__ = None
