"""One chaos run from its seed to its verdict."""

import random
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.nemesis import Nemesis
from tests.support.fleet import Fleet, Settled
from tests.support.history import Verdict

QUIET_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run came to. `folder` still holds history and logs when it failed, and is None when it did not."""

    seed: int
    verdict: Verdict
    settled: Settled
    faults: list[str]
    shape: str
    back_s: float
    folder: Path | None

    @property
    def ok(self) -> bool:
        return self.verdict.ok and not self.settled.findings and not self.settled.final.live

    def __str__(self) -> str:
        counters = {name: n for name, n in sorted(self.settled.stats.counters.items()) if n}
        lines = [
            f"seed {self.seed}: {'ok' if self.ok else 'FAILED'}: {self.shape}, {len(self.faults)} faults",
            *(f"  {fault}" for fault in self.faults),
            f"  history: {self.verdict}",
            f"  throughput was back {self.back_s:.1f} s after the last fault; drained in {self.settled.seconds:.1f} s",
            f"  audit: {'clean' if not self.settled.findings else self.settled.findings[:10]}; counters {counters}",
            *(f"  {violation}" for violation in self.verdict.violations[:20]),
        ]
        if self.settled.final.live:
            lines.append(
                f"  NOT DRAINED: {len(self.settled.final.live)} jobs, {sorted(self.settled.final.live)[:5]}"
            )
        if self.folder is not None:
            lines.append(f"  history and logs: {self.folder}")
        return "\n".join(lines)


async def chaos(
    seed: int,
    seconds: float,
    *,
    redis: str = "any",
    rate: float = 150.0,
    every: tuple[float, float] = (2.0, 5.0),
) -> Report:
    """Faults for so many seconds, a quiet period, and the verdict. `redis` is embedded, external or any."""
    dice = random.Random(seed)
    embedded = dice.random() < 0.5 if redis == "any" else redis == "embedded"
    servers = 1 if embedded else dice.choice((1, 2))
    workers = dice.choice((2, 3))
    shape = f"{'embedded' if embedded else 'external'} Redis, {servers} server(s), {workers} workers"
    folder = Path(tempfile.mkdtemp(prefix=f"relay-chaos-{seed}-", dir="/tmp"))
    async with Fleet.start(
        folder=folder, servers=servers, workers=workers, embedded=embedded, proxies=True, lease="3s"
    ) as fleet:
        nemesis = Nemesis(fleet, dice)
        async with fleet.producing(rate=rate):
            await fleet.until_acked(50)
            await nemesis.run(seconds, every=every)
            quiet = time.monotonic()
            await fleet.until_more_acked(50, within=QUIET_S)
            back_s = time.monotonic() - quiet
        verdict, settled = await fleet.judge(within=QUIET_S)
        nemesis.check_alive()
    report = Report(
        seed=seed,
        verdict=verdict,
        settled=settled,
        faults=nemesis.log,
        shape=shape,
        back_s=back_s,
        folder=folder,
    )
    if not report.ok:
        return report
    shutil.rmtree(folder, ignore_errors=True)
    return replace(report, folder=None)
