"""A server's certificate and tokens, and the followers that read their files again after a change."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from relay_server.security.port_certificate import RENEWALS_APART_S
from relay_server.security.reload import Follower
from relay_server.security.tls import Tls, TlsFiles
from relay_server.security.tokens import Tokens


class Credentials:
    """What a server shows its clients (`tls`) and asks of them (`tokens`); each is None when the server has none.

    Raises BadCertificate and BadTokensFile.
    """

    def __init__(self, tls: TlsFiles | None, tokens_file: Path | None) -> None:
        self.tls = Tls(tls) if tls is not None else None
        asks_clients = tls is not None and tls.client_ca is not None
        self.tokens = Tokens(tokens_file, certificates=asks_clients) if tokens_file is not None else None
        self.followers: list[Follower] = []

    def follow(self, address: str, *, failed: Callable[[str], None]) -> list[Follower]:
        """Makes a follower for each kind of file; run them. gRPC listens at `address`.

        `failed` is called with the kind at each attempt that fails.
        """
        if (tls := self.tls) is not None:
            renew = partial(tls.renew, address)
            self.followers.append(
                Follower(
                    "certificate", tls.files.all, renew, tls.stamp, failed=failed, apart_s=RENEWALS_APART_S
                )
            )
        if (tokens := self.tokens) is not None:
            self.followers.append(
                Follower("tokens_file", [tokens.file], tokens.reload, tokens.stamp, failed=failed)
            )
        return self.followers

    def stale(self, max_s: float) -> str:
        """Names a change of a file that could not be read for `max_s`; empty when there is none.

        The change may be a revocation, so callers should not be sent to this server.
        """
        for follower in self.followers:
            if follower.failing_s > max_s:
                text = f"{follower.kind} changed and could not be read for {follower.failing_s:.0f} s"
                return f"{text}; the log says why"
        return ""
