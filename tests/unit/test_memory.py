"""Memory that a burst took goes back to the machine."""

import os
import subprocess
import sys

from tests.support.figures import MIB

# A process of its own: what else this one holds would hide it.
BURST = """
import asyncio, os
from relay_server import memory
memory._EVERY_S = 0.05

async def main():
    giving = asyncio.create_task(memory.give_back())
    await asyncio.sleep(0.2)
    print(memory._resident_bytes())
    burst = [os.urandom(3000) for _ in range(30_000)]
    await asyncio.sleep(0.2)
    print(memory._resident_bytes())
    kept = burst[::100]
    del burst
    for _ in range(200):
        await asyncio.sleep(0.05)
        if memory._resident_bytes() < 60 << 20:
            break
    print(memory._resident_bytes())
    assert not giving.done()

asyncio.run(main())
"""


def test_what_a_burst_took_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BURST], capture_output=True, text=True, check=True, env=os.environ, timeout=60
    )
    before, most, after = (int(line) / MIB for line in done.stdout.split())
    assert most - before > 70
    assert after - before < (most - before) / 2
