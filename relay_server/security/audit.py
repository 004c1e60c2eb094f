"""The audit log: what operators did, and who they were. One event for each call, whatever became of it."""

from collections.abc import Callable
from typing import Any

import structlog

from relay_server.security.permissions import RULES
from relay_server.security.principals import Principal

# In the frames of calls on many jobs.
_COUNTS = ("matched", "requeued", "purged", "cancelled")

_log = structlog.get_logger("relay_server.audit")


def is_audited(method: str) -> bool:
    rule = RULES.get(method)
    return rule is not None and rule.audited


def audit(
    method: str, principal: Principal, request: Any, last: Any, code: str, *, peer: Callable[[], str]
) -> None:
    """Logs the call if the table of permissions says so. Names of queues and jobs, never payloads or credentials.

    `last` is the last frame of a call on many jobs, which counts them; None for other calls.
    """
    if not is_audited(method):
        return
    said = {
        name: value for name in ("job_id", "dry_run", "forget") if (value := getattr(request, name, None))
    }
    counted = {name: getattr(last, name) for name in _COUNTS if hasattr(last, name)}
    _log.info(
        "audit",
        principal=principal.name,
        peer=peer(),
        rpc=method.rpartition("/")[2],
        queue=request.queue[:128],
        selected=_selected(request),
        result=code,
        **said,
        **counted,
    )


def _selected(request: Any) -> str:
    """Which jobs were meant: how many by id, or the fields of the filter."""
    fields = {field.name for field, _ in request.ListFields()}
    if "ids" in fields:
        return f"{len(request.ids.ids)} ids"
    if "filter" in fields:
        return ", ".join(sorted(field.name for field, _ in request.filter.ListFields()))
    return ""
