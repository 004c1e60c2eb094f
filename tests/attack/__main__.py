"""`python -m tests.attack`: every attack in full, with figures; `… KIND`: some of them; `… together`: all at once.

Exit code 1 when a figure is over its limit. `together` starts `… press PLACE KIND …`, which attacks until it is ended.
"""

import argparse
import asyncio
import importlib
import pkgutil
import sys
from typing import Any

import grpc

from tests.attack import kinds
from tests.attack.place import Place
from tests.attack.stage import settled_mib, stage
from tests.support.figures import Figure

_FIRST_ROUND_S = 60.0
# What the others leave of two cores is not enough for it: it takes one, most of it in gRPC's own threads.
_ALONE = {"resets"}
KINDS = tuple(sorted(module.name for module in pkgutil.iter_modules(kinds.__path__)))


def kind(name: str) -> Any:
    """The module of a kind, with `measure(whole)` and, where it attacks from outside, `press(place)`."""
    return importlib.import_module(f"tests.attack.kinds.{name}")


async def together(seconds: float) -> list[Figure]:
    """Every kind that can be pressed, at once, against one server.

    Memory is compared with that of the server as it had just started, and with that after a first round of the same:
    a first round leaves pages that hold a little each, which later ones use again.
    """
    pressed = [name for name in KINDS if hasattr(kind(name), "press") and name not in _ALONE]
    async with stage() as on:
        async with on.innocent() as quiet:
            await asyncio.sleep(10)
        quiet.figures("quiet")
        fresh = on.rss_mib()
        async with on.pressed(*pressed):
            await asyncio.sleep(min(_FIRST_ROUND_S, seconds))
        before = await settled_mib(on)
        async with on.innocent() as felt, on.pressed(*pressed):
            await asyncio.sleep(seconds)
            most = on.rss_mib()
        after = await settled_mib(on)
        print(
            f"    memory: {fresh:.0f} MiB fresh, {before:.0f} after a first round, "
            f"{most:.0f} during, {after:.0f} after",
            flush=True,
        )
        return [
            *felt.figures(f"{len(pressed)} attacks at once for {seconds:.0f} s"),
            Figure(
                name="memory kept beyond that after a first round",
                value=after / before * 100 - 100,
                most=20,
                unit="%",
            ),
            Figure(name="memory kept of a fresh server's", value=after / fresh, most=2, unit="times"),
            Figure(name="server ended", value=not on.alive, most=0, unit="times"),
            *await on.nothing_lost(),
        ]


async def pressing(name: str, place: Place) -> None:
    """Attacks until it is ended. Kinds share tokens, so one is refused for what another does: then it tries again."""
    while True:
        try:
            await kind(name).press(place)
        except (grpc.aio.AioRpcError, OSError, EOFError):
            await asyncio.sleep(0.5)


async def pressing_all(names: list[str], place: str) -> None:
    """Each in a process of its own; ends when one does."""
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.attack", "press", place, name)
        for name in names
    ]
    await asyncio.wait(
        [asyncio.create_task(process.wait()) for process in processes], return_when=asyncio.FIRST_COMPLETED
    )
    ended = [name for name, process in zip(names, processes, strict=True) if process.returncode is not None]
    sys.exit(f"attacks that ended by themselves: {', '.join(ended)}")


async def run(names: list[str], seconds: float) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        print(f"{name}:", flush=True)
        found = await (together(seconds) if name == "together" else kind(name).measure(whole=True))
        for figure in found:
            print(f"  {figure}", flush=True)
        figures += found
    return figures


def main() -> int:
    """Exit code 0 when every figure is within its limit."""
    if sys.argv[1:2] == ["press"]:
        place, *names = sys.argv[2:]
        if len(names) == 1:
            asyncio.run(pressing(names[0], Place.of(place)))
        else:
            asyncio.run(pressing_all(names, place))
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, "together", []], default=[])
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long `together` lasts (default 600)"
    )
    options = parser.parse_args()
    figures = asyncio.run(run(options.kinds or [*KINDS, "together"], options.seconds))
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
