"""`relay demo`: starts what it needs, loads it, watches until it may end, and sums up."""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from relay_cli.demo import processes
from relay_cli.demo.load import Plan, Tally, plan, specs, tally
from relay_cli.demo.view import View
from relay_cli.errors import EXIT_INTERRUPTED, CliError
from relay_cli.output import count, note, print_json, say, several
from relay_cli.session import Session, session_of

if TYPE_CHECKING:
    from relay.v1.admin_service_pb2 import QueueStats
    from relay_client import Client
    from relay_client.admin import Admin

HELP = (
    "Show Relay at work on this machine: a server on a fresh temporary data folder, workers, and jobs of which some "
    "fail at first and some always. Runs until Ctrl-C, or with --exit until every job is accounted for. With --server "
    "it starts nothing and only loads that server, which needs workers with the handlers relay_worker.demo:jobs."
)
_LOOK_EVERY_S: Final = 0.1
_WORKER_GRACE: Final = "5s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    queue: str
    plan: Plan
    seed: int
    exit: bool
    workers: int = 0
    listen: str = ""
    http: str = ""


@dataclass(slots=True, kw_only=True)
class _Run:
    """What runs, and how far it is."""

    children: list[processes.Child] = field(default_factory=list)
    heading: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    started_at: float = 0.0
    ended_at: float = 0.0
    refused: list[str] = field(default_factory=list)
    loaded: threading.Event = field(default_factory=threading.Event)
    clean: bool | None = None

    @property
    def accounted(self) -> bool:
        return self.ended_at > 0


def demo(
    context: typer.Context,
    jobs: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="Jobs to enqueue.")] = 200,
    workers: Annotated[int, typer.Option(min=1, max=32, metavar="N", help="Worker processes.")] = 2,
    queue: Annotated[str, typer.Option(metavar="NAME", help="Queue to use.")] = "demo",
    fail_rate: Annotated[
        float,
        typer.Option(
            min=0, max=1, metavar="SHARE", help="Share of jobs that fail at first; a third of them always."
        ),
    ] = 0.1,
    seed: Annotated[int, typer.Option(metavar="N", help="Decides which jobs fail.")] = 1,
    exit_: Annotated[
        bool, typer.Option("--exit", help="End when every job is accounted for, with a summary.")
    ] = False,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="gRPC address of the server; port 0: any free one.")
    ] = "127.0.0.1:50051",
    http: Annotated[
        str,
        typer.Option(metavar="HOST:PORT", help="HTTP address of the server; port 0: any free one; or off."),
    ] = "127.0.0.1:8080",
) -> None:
    session = session_of(context)
    options = _Options(
        queue=queue,
        plan=plan(jobs, fail_rate),
        seed=seed,
        exit=exit_,
        workers=workers,
        listen=listen,
        http=http,
    )
    run = _Run()
    with _stop_signals():
        try:
            if session.server_given:
                _load_only(session, options, run)
            else:
                _everything(session, options, run)
        except KeyboardInterrupt:
            if run.clean is None:
                note("interrupted before every job was accounted for")
                _summary(session, options, run)
                raise typer.Exit(EXIT_INTERRUPTED) from None
    _summary(session, options, run)
    wrong = _wrong(options, run)
    if wrong:
        raise CliError(wrong)


def _everything(session: Session, options: _Options, run: _Run) -> None:
    processes.check_server_installed()
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    try:
        where = _start_server(session, options, run, folder)
        own = Session(server=where.grpc, output=session.output)
        _load_and_watch(own, options, run)
    except CliError as error:
        _stop_children(run)
        raise CliError(f"{error}\nlogs are kept in {folder}", error.code) from error
    except BaseException:
        _stop_children(run)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _stop_children(run)
    shutil.rmtree(folder, ignore_errors=True)


def _start_server(session: Session, options: _Options, run: _Run, folder: Path) -> processes.Addresses:
    arguments = ["--listen", options.listen, "--http", options.http, "--data-dir", str(folder / "data")]
    server = processes.start("relay-server", "relay-server", arguments, folder)
    run.children.append(server)
    where = processes.wait_ready(server)
    worker = [
        "relay_worker.demo:jobs",
        "--queue",
        options.queue,
        "--server",
        where.grpc,
        "--grace",
        _WORKER_GRACE,
    ]
    run.children += [
        processes.start(f"relay-worker-{n}", "relay-worker", worker, folder)
        for n in range(1, options.workers + 1)
    ]
    if session.json:
        print_json(
            {"event": "started", "grpc": where.grpc, "http": where.http or None, "workers": options.workers}
        )
    run.heading = [
        f"relay demo · server {where.grpc} · {several(options.workers, 'workers')} · queue {options.queue}",
        f"http://{where.http}" if where.http else "no HTTP (--http off)",
        f"look around:  relay --server {where.grpc} top | queues | dead list {options.queue} | doctor",
    ]
    return where


def _load_only(session: Session, options: _Options, run: _Run) -> None:
    worker = f"relay-worker relay_worker.demo:jobs --queue {options.queue} --server {session.server}"
    run.heading = [
        f"relay demo · loading {session.server} · queue {options.queue}",
        f"a worker for it:  {worker}",
    ]
    _load_and_watch(session, options, run)


def _load_and_watch(session: Session, options: _Options, run: _Run) -> None:
    with (
        session.admin() as admin,
        session.client() as client,
        View(options.plan, run.heading, json=session.json) as view,
    ):
        base = _stats(admin, options.queue)
        run.started_at = time.monotonic()
        loader = threading.Thread(
            target=_load, args=(client, options, run), name="relay-demo-load", daemon=True
        )
        loader.start()
        _watch(admin, options, run, view, base, until=_until(session, options, run))
        if run.accounted:
            from relay_cli.doctor import audit, check_setup

            setup, found = check_setup(admin), audit(admin, json=session.json)
            run.clean = not (found.findings or setup.warnings)
            if session.json:
                print_json({"event": "accounted", "doctor_clean": run.clean})
        if not options.exit and run.children:
            view.say("Every job is accounted for. Ctrl-C ends the demo.")
            _watch(admin, options, run, view, base, until=lambda: False)


def _until(session: Session, options: _Options, run: _Run) -> Callable[[], bool]:
    if session.server_given and not options.exit:
        return run.loaded.is_set
    return lambda: run.accounted or bool(run.refused)


def _load(client: "Client", options: _Options, run: _Run) -> None:
    # Whatever happens is a result of a job: enqueue_many does not raise for a refusal or a lost server.
    results = client.enqueue_many(options.queue, specs(options.plan, options.seed))
    run.refused = [str(result) for result in results if isinstance(result, Exception)]
    run.loaded.set()


def _watch(
    admin: "Admin",
    options: _Options,
    run: _Run,
    view: View,
    base: "QueueStats | None",
    *,
    until: Callable[[], bool],
) -> None:
    pause = threading.Event()
    while True:
        loaded = run.loaded.is_set()  # before the counters are read
        run.tally = tally(_stats(admin, options.queue), base)
        view.update(run.tally)
        if loaded and not run.accounted and not run.tally.left:
            run.ended_at = time.monotonic()
        if until():
            return
        _look_at_children(run, view)
        pause.wait(_LOOK_EVERY_S)


def _stats(admin: "Admin", queue: str) -> "QueueStats | None":
    return next((each for each in admin.stats().queues if each.queue == queue), None)


def _look_at_children(run: _Run, view: View) -> None:
    for child in list(run.children):
        code = child.process.poll()
        if code is None:
            continue
        run.children.remove(child)
        text = f"{child.name} ended with code {code}"
        if child.name == "relay-server" or len(run.children) == 1:
            raise CliError(f"{text}:\n{child.tail()}")
        view.say(f"{text}; the other workers go on")


def _stop_children(run: _Run) -> None:
    # Workers first, so that they can give their jobs back to a server that is still there.
    processes.stop(run.children[1:])
    processes.stop(run.children[:1])
    run.children.clear()


@contextmanager
def _stop_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does; once it is ending, further ones change nothing."""
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wrong(options: _Options, run: _Run) -> str:
    if run.refused:
        return f"{len(run.refused)} jobs were refused, the first because: {run.refused[0]}"
    if not run.accounted:
        return ""  # only loaded
    found = run.tally
    if found.acked + found.dead != options.plan.jobs or found.enqueued != options.plan.jobs:
        return (
            f"{found.acked} done and {found.dead} dead are not the {options.plan.jobs} jobs "
            f"({found.enqueued} enqueued); does somebody else use this queue?"
        )
    return "" if run.clean else "relay doctor found something wrong"


def _summary(session: Session, options: _Options, run: _Run) -> None:
    found = run.tally
    # Interrupted before the first job, it took no time.
    seconds = (run.ended_at or time.monotonic()) - run.started_at if run.started_at else 0.0
    facts: dict[str, Any] = {
        "enqueued": found.enqueued,
        "done": found.acked,
        "dead": found.dead,
        "left": found.left,
        "failed_at_first": found.failed_at_first if run.accounted else None,
        "retried": found.retried,
        "duration_s": round(seconds, 3),
        "accounted": run.accounted and found.acked + found.dead == options.plan.jobs,
        "doctor_clean": run.clean,
    }
    if session.json:
        print_json({"event": "summary", "queue": options.queue, **facts})
        return
    say(f"enqueued         {count(found.enqueued)}")
    say(f"done             {count(found.acked)}")
    say(f"dead             {count(found.dead)}")
    if found.left:
        say(f"left             {count(found.left)}")
    if run.accounted:
        say(f"failed at first  {count(found.failed_at_first)} (planned {count(options.plan.failing)})")
    say(f"retried          {count(found.retried)}")
    say(f"duration         {seconds:.2f} s")
    if run.clean is not None:
        say(f"relay doctor     {'clean' if run.clean else 'found something'}")
