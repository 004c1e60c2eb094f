"""Handlers are registered as they are, and wrong ones are refused with a reason."""

from collections.abc import Callable
from typing import Any

import pytest

from relay_worker import Context, Jobs


def test_the_function_stays_itself() -> None:
    jobs = Jobs()

    @jobs.handler("add", max_runtime="1m30s")
    def add(payload: list[int]) -> int:
        return sum(payload)

    assert add([1, 2]) == 3
    handler = jobs.find("add")
    assert handler is not None
    assert (handler.max_runtime_s, handler.is_async, handler.parameters) == (90.0, False, 1)
    assert jobs.find("other") is None
    assert [one.type for one in jobs] == ["add"]


def nothing() -> None: ...
def payload_only(payload: dict[str, Any]) -> None: ...
def both(payload: int, ctx: Context) -> None: ...
def untyped(payload, ctx): ...  # type: ignore[no-untyped-def]
def context_alone(ctx: Context) -> None: ...
def with_default(payload: int, retries: int = 3) -> None: ...


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (nothing, ()),
        (payload_only, ({"a": 1},)),
        (untyped, ({"a": 1}, "ctx")),
        (context_alone, ("ctx",)),
    ],
)
def test_what_a_handler_is_called_with(function: Callable[..., Any], expected: tuple[Any, ...]) -> None:
    jobs = Jobs()
    jobs.handler("t")(function)
    handler = jobs.find("t")
    assert handler is not None
    assert handler.arguments(b'{"a":1}', "", lambda: "ctx") == expected  # type: ignore[arg-type,return-value]


def test_a_second_parameter_of_its_own_stays_its_own() -> None:
    jobs = Jobs()
    jobs.handler("t")(with_default)
    jobs.handler("u")(both)
    assert jobs.find("t").parameters == 1  # type: ignore[union-attr]
    assert jobs.find("u").parameters == 2  # type: ignore[union-attr]


def test_refusals() -> None:
    jobs = Jobs()
    jobs.handler("t")(nothing)
    with pytest.raises(ValueError, match="already has a handler"):
        jobs.handler("t")(payload_only)
    with pytest.raises(ValueError, match="128 bytes"):
        jobs.handler("ü" * 65)(payload_only)
    with pytest.raises(ValueError, match="max_runtime"):
        jobs.handler("x", max_runtime="long")
    with pytest.raises(TypeError, match="3 arguments"):
        jobs.handler("x")(lambda a, b, c: None)
    with pytest.raises(TypeError, match="top level"):
        jobs.handler("x", cpu=True)(lambda payload: None)

    async def later(payload: int) -> None: ...

    with pytest.raises(TypeError, match="sync"):
        jobs.handler("x", cpu=True)(later)

    def odd(payload: Callable[[], None]) -> None: ...

    with pytest.raises(TypeError, match="parameter 'payload'"):
        jobs.handler("x")(odd)
