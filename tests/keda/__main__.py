"""`python -m tests.keda`: plays an up-and-down of load under KEDA's arithmetic and prints each change."""

import sys

from tests.keda.run import BURST, METADATA, Moment, run


def main() -> int:
    """Exit code 0 when every job was finished and no replica is left."""
    targets = ", ".join(f"{name} {value}" for name, value in METADATA.items())
    print(f"{BURST} short jobs and a long one; {targets}\n")
    print("    s  ready  inflight  relay-backlog  relay-age  replicas")
    shown: list[Moment] = []

    def report(moment: Moment) -> None:
        if not shown or moment.replicas != shown[-1].replicas or moment.at_s - shown[-1].at_s >= 1:
            shown.append(moment)
            row = f"{moment.at_s:5.1f}  {moment.ready:5}  {moment.inflight:8}"
            print(f"{row}  {moment.backlog:13.1f}  {moment.age:9.2f}  {moment.replicas:8}", flush=True)

    story = run(report)
    counters = story.end.counters
    idle_s = story.moments[-1].at_s - story.last(lambda moment: moment.inflight > 0)
    print(
        f"\nfrom none to one after {story.first(lambda moment: moment.replicas > 0):.1f} s, peak {story.peak}"
    )
    print(f"back to none {idle_s:.1f} s after the last job (cooldown {story.policy.cooldown_s:g} s)")
    print(
        f"acked {counters.acked} of {counters.enqueued}, claimed {counters.claimed}, retried {counters.retried}, "
        f"released {counters.released}, expired {counters.expired}, dead {counters.dead}"
    )
    return 0 if counters.acked == counters.enqueued and not counters.expired else 1


if __name__ == "__main__":
    sys.exit(main())
