"""Lets go of what an aborted call held, at once.

gRPC's state of a call keeps the error that aborted it; the error keeps its traceback and the error before it; those
keep the frames they went through, and these the request and the context, which keeps the state. Such a cycle lives
until the next full garbage collection, which hardly ever comes (memory.py): each refused call would keep its request.
"""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc


def without_cycles(handle: Any) -> Any:
    """The handler, as gRPC is to have it: outermost, so that no frame with a context comes after it."""
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
