"""Workers: claims, settles and heartbeats, with tokens that are theirs or are not."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from relay_server.model import ClaimGroup, Extension, Lease, NackedJob
from relay_server.words import NackWord
from tests.stateful.draws import LEASES_MS, rarely, some
from tests.stateful.machine.steps import BODY_BYTES_MAX, Steps
from tests.stateful.world import QUEUE, SERVERS


class Workers(Steps):
    """What workers do."""

    @rule(
        server=st.integers(0, 1),
        windows=st.lists(st.tuples(st.integers(1, 3), st.sampled_from(LEASES_MS)), min_size=1, max_size=2),
        lose=rarely,
    )
    def claim(self, server: int, windows: list[tuple[int, int]], lose: bool) -> None:
        groups = [ClaimGroup(self.mint("token"), lease, n, f"w{i}") for i, (n, lease) in enumerate(windows)]
        act = self.transitions(server).claim(QUEUE, groups)
        name = SERVERS[server]
        if lose and name in self.lost:  # a claim first takes the lost one back: that reply is lost now
            self.lose(server, act, lambda: self.model.hand_back_claim(name, self.lost[name]))
        elif lose:
            self.lose(server, act, lambda: self._model_claim(server, groups))
            self.lost[name] = self.world.runners[server].nonces[-1]
        else:
            self.step(act, lambda: self._model_claim(server, groups))
            self.lost.pop(name, None)
        # The test knows even the tokens that no worker heard of.
        for group in groups:
            held = [
                i for i, job in self.picture.jobs.items() if job.record and job.record.token == group.token
            ]
            self.leases += [Lease(i, group.token) for i in sorted(held)]

    def _model_claim(self, server: int, groups: list[ClaimGroup]) -> object:
        name = SERVERS[server]
        if name in self.lost:
            self.model.hand_back_claim(name, self.lost[name])
        nonce = self.world.runners[server].nonces[-1]
        return self.model.claim(name, nonce, groups, BODY_BYTES_MAX)

    @precondition(lambda self: self.leases)
    @rule(numbers=some, crossed=rarely, lose=rarely)
    def ack(self, numbers: list[int], crossed: bool, lose: bool) -> None:
        leases = self.picked_leases(numbers, crossed)
        self.ask(0, lose, lambda: self.transitions().ack(QUEUE, leases), lambda: self.model.ack(leases))

    @precondition(lambda self: self.leases)
    @rule(
        numbers=some,
        kinds=st.lists(st.sampled_from(list(NackWord)), min_size=3, max_size=3),
        after=st.sampled_from((-1, 0, 1, 30_000)),
        crossed=rarely,
        lose=rarely,
        error_bytes=st.sampled_from((0, 4, 8000)),
    )
    def nack(
        self,
        numbers: list[int],
        kinds: list[NackWord],
        after: int,
        crossed: bool,
        lose: bool,
        error_bytes: int,
    ) -> None:
        leases = self.picked_leases(numbers, crossed)
        nacks = [
            NackedJob(*lease, kind, after, "E", b"e" * error_bytes)
            for lease, kind in zip(leases, kinds, strict=False)
        ]
        self.ask(0, lose, lambda: self.transitions().nack(QUEUE, nacks), lambda: self.model.nack(nacks))

    @precondition(lambda self: self.leases)
    @rule(numbers=some)
    def retry(self, numbers: list[int]) -> None:
        """The common case: an attempt failed, and the job's own backoff says when to go on."""
        nacks = [
            NackedJob(*held, NackWord.RETRY, -1, "E", b"") for held in self.picked_leases(numbers, False)
        ]
        self.step(self.transitions().nack(QUEUE, nacks), lambda: self.model.nack(nacks))

    @precondition(lambda self: self.leases)
    @rule(
        numbers=some,
        lease=st.sampled_from((0, 0, *LEASES_MS)),
        news=st.sampled_from(((-1.0, ""), (0.25, "a quarter"))),
        crossed=rarely,
        lose=rarely,
    )
    def extend(
        self, numbers: list[int], lease: int, news: tuple[float, str], crossed: bool, lose: bool
    ) -> None:
        extensions = [Extension(*held, *news) for held in self.picked_leases(numbers, crossed)]
        self.ask(
            0,
            lose,
            lambda: self.transitions().extend(QUEUE, extensions, lease_ms=lease),
            lambda: self.model.extend(extensions, lease),
        )
