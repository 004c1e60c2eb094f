"""`relay workers`: lists the workers' sessions."""

from typing import TYPE_CHECKING

import typer

from relay_cli.options import options_of
from relay_cli.output import ago, plain, print_json, print_table

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import Worker


def list_(context: typer.Context) -> None:
    options = options_of(context)
    with options.admin() as admin:
        found = list(admin.workers())
    if options.json:
        print_json({"workers": [plain(each) for each in found]})
        return
    columns = ("WORKER", "QUEUES", ">BUSY", ">WINDOW", "CONNECTED", "SEEN", "CLIENT", "SERVER")
    print_table(columns, map(_row, found))


def _row(worker: "Worker") -> tuple[object, ...]:
    queues = ", ".join(
        each.queue if each.weight <= 1 else f"{each.queue}={each.weight}" for each in worker.queues
    )
    return (
        worker.worker_id,
        queues,
        worker.in_flight,
        worker.max_in_flight,
        ago(worker.connect_time) if worker.connected else "no",
        ago(worker.seen_time),
        worker.client_version,
        worker.server_id,
    )
