"""The audit log: operators' actions with their names, and refused calls."""

from collections.abc import Callable
from typing import Any

import structlog

from relay_server.security.brake import Brake
from relay_server.security.permissions import RULES
from relay_server.security.principals import ANYONE, Principal

REFUSED_PER_MINUTE_MAX = 10  # lines for one address

# Fields that count jobs in the last frame of a bulk call.
_COUNTS = ("matched", "requeued", "purged", "cancelled")

_log = structlog.get_logger("relay_server.audit")


def is_audited(method: str) -> bool:
    rule = RULES.get(method)
    return rule is not None and rule.audited


class Audit:
    """Writes one event for each call that the table of permissions marks as audited, whether it succeeded or not, and
    one for each refused call, up to REFUSED_PER_MINUTE_MAX an address.

    Events hold names of queues and jobs, never payloads or credentials.
    """

    def __init__(self) -> None:
        self._brake = Brake(REFUSED_PER_MINUTE_MAX)

    def ended(
        self,
        method: str,
        principal: Principal,
        request: Any,
        last: Any,
        code: str,
        *,
        peer: Callable[[], str],
    ) -> None:
        """Notes a call that ended with `code`. `request` is None when the call was refused before it was read.

        `last` is the last frame of a bulk call, which counts the jobs; None for other calls.
        """
        audited = is_audited(method)
        if request is None:
            if code == "UNAUTHENTICATED" or (audited and code != "CANCELLED"):
                self.refused(method, peer(), code, principal)
            return
        if not audited:
            return
        said = {
            name: value for name in ("job_id", "dry_run", "forget") if (value := getattr(request, name, None))
        }
        counted = {name: getattr(last, name) for name in _COUNTS if hasattr(last, name)}
        _log.info(
            "audit",
            principal=principal.name,
            peer=peer(),
            rpc=_short(method),
            queue=request.queue[:128],
            selected=_selected(request),
            result=code,
            **said,
            **counted,
        )

    def refused(self, method: str, peer: str, result: str, principal: Principal = ANYONE) -> bool:
        """Notes a refused call; `principal` is ANYONE for an unknown caller.

        False when this address had its share of lines for the minute, and the call was not noted.
        """
        if self._brake.wait_s(peer):
            return False
        known = {} if principal is ANYONE else {"principal": principal.name}
        _log.warning("refused", peer=peer, rpc=_short(method), result=result, **known)
        return True


def _short(method: str) -> str:
    return method.rpartition("/")[2]


def _selected(request: Any) -> str:
    """The selection of a bulk request, for the log: the number of ids, or the names of the filter's fields."""
    fields = {field.name for field, _ in request.ListFields()}
    if "ids" in fields:
        return f"{len(request.ids.ids)} ids"
    if "filter" in fields:
        return ", ".join(sorted(field.name for field, _ in request.filter.ListFields()))
    return ""
