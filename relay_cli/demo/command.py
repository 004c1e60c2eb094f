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
from relay_cli.options import Options, options_of
from relay_cli.output import count, note, print_json, say, several

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
class _Demo:
    """The options of the command. `workers`, `listen` and `http` are for a demo that starts its own server."""

    queue: str
    plan: Plan
    seed: int
    exit: bool
    workers: int = 0
    listen: str = ""
    http: str = ""


@dataclass(slots=True, kw_only=True)
class _Run:
    """The processes of a demo, and how far it is."""

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
    options = options_of(context)
    demo = _Demo(
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
            if options.server_given:
                _load_only(options, demo, run)
            else:
                _everything(options, demo, run)
        except KeyboardInterrupt:
            if run.clean is None:
                note("interrupted before every job was accounted for")
                _summary(options, demo, run)
                raise typer.Exit(EXIT_INTERRUPTED) from None
    _summary(options, demo, run)
    wrong = _wrong(demo, run)
    if wrong:
        raise CliError(wrong)


def _everything(options: Options, demo: _Demo, run: _Run) -> None:
    processes.check_server_installed()
    folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
    try:
        where = _start_server(options, demo, run, folder)
        own = Options(server=where.grpc, output=options.output)
        _load_and_watch(own, demo, run)
    except CliError as error:
        _stop_children(run)
        raise CliError(f"{error}\nlogs are kept in {folder}", error.code) from error
    except BaseException:
        _stop_children(run)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _stop_children(run)
    shutil.rmtree(folder, ignore_errors=True)


def _start_server(options: Options, demo: _Demo, run: _Run, folder: Path) -> processes.Addresses:
    arguments = ["--listen", demo.listen, "--http", demo.http, "--data-dir", str(folder / "data")]
    server = processes.start("relay-server", "relay-server", arguments, folder)
    run.children.append(server)
    where = processes.wait_ready(server)
    worker = [
        "relay_worker.demo:jobs",
        "--queue",
        demo.queue,
        "--server",
        where.grpc,
        "--grace",
        _WORKER_GRACE,
    ]
    run.children += [
        processes.start(f"relay-worker-{n}", "relay-worker", worker, folder)
        for n in range(1, demo.workers + 1)
    ]
    if options.json:
        print_json(
            {"event": "started", "grpc": where.grpc, "http": where.http or None, "workers": demo.workers}
        )
    run.heading = [
        f"relay demo · server {where.grpc} · {several(demo.workers, 'workers')} · queue {demo.queue}",
        f"http://{where.http}" if where.http else "no HTTP (--http off)",
        f"look around:  relay --server {where.grpc} top | queues | dead list {demo.queue} | doctor",
    ]
    return where


def _load_only(options: Options, demo: _Demo, run: _Run) -> None:
    worker = f"relay-worker relay_worker.demo:jobs --queue {demo.queue} --server {options.server}"
    run.heading = [
        f"relay demo · loading {options.server} · queue {demo.queue}",
        f"a worker for it:  {worker}",
    ]
    _load_and_watch(options, demo, run)


def _load_and_watch(options: Options, demo: _Demo, run: _Run) -> None:
    with (
        options.admin() as admin,
        options.client() as client,
        View(demo.plan, run.heading, json=options.json) as view,
    ):
        base = _stats(admin, demo.queue)
        run.started_at = time.monotonic()
        loader = threading.Thread(target=_load, args=(client, demo, run), name="relay-demo-load", daemon=True)
        loader.start()
        _watch(admin, demo, run, view, base, until=_until(options, demo, run))
        if run.accounted:
            from relay_cli.doctor import audit, check_setup

            setup, found = check_setup(admin), audit(admin, json=options.json)
            run.clean = not (found.findings or setup.warnings)
            if options.json:
                print_json({"event": "accounted", "doctor_clean": run.clean})
        if not demo.exit and run.children:
            view.say("Every job is accounted for. Ctrl-C ends the demo.")
            _watch(admin, demo, run, view, base, until=lambda _: False)


def _until(options: Options, demo: _Demo, run: _Run) -> Callable[[bool], bool]:
    """Whether to end, asked after each look at the counters with whether all jobs were enqueued before that look."""
    if options.server_given and not demo.exit:
        return lambda loaded: loaded
    return lambda _: run.accounted or bool(run.refused)


def _load(client: "Client", demo: _Demo, run: _Run) -> None:
    # Whatever happens is a result of a job: enqueue_batch does not raise for a refusal or a lost server.
    results = client.enqueue_batch(demo.queue, specs(demo.plan, demo.seed))
    run.refused = [str(result) for result in results if isinstance(result, Exception)]
    run.loaded.set()


def _watch(
    admin: "Admin",
    demo: _Demo,
    run: _Run,
    view: View,
    base: "QueueStats | None",
    *,
    until: Callable[[bool], bool],
) -> None:
    pause = threading.Event()
    while True:
        loaded = run.loaded.is_set()  # before the counters are read
        run.tally = tally(_stats(admin, demo.queue), base)
        view.update(run.tally)
        if loaded and not run.accounted and not run.tally.left:
            run.ended_at = time.monotonic()
        if until(loaded):
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
    # Workers first, so that they can release their jobs to a server that still runs.
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


def _wrong(demo: _Demo, run: _Run) -> str:
    if run.refused:
        return f"{len(run.refused)} jobs were refused, the first because: {run.refused[0]}"
    if not run.accounted:
        return ""  # only loaded
    found = run.tally
    if found.acked + found.dead != demo.plan.jobs or found.enqueued != demo.plan.jobs:
        return (
            f"{found.acked} done and {found.dead} dead are not the {demo.plan.jobs} jobs "
            f"({found.enqueued} enqueued); does somebody else use this queue?"
        )
    return "" if run.clean else "relay doctor found something wrong"


def _summary(options: Options, demo: _Demo, run: _Run) -> None:
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
        "accounted": run.accounted and found.acked + found.dead == demo.plan.jobs,
        "doctor_clean": run.clean,
    }
    if options.json:
        print_json({"event": "summary", "queue": demo.queue, **facts})
        return
    say(f"enqueued         {count(found.enqueued)}")
    say(f"done             {count(found.acked)}")
    say(f"dead             {count(found.dead)}")
    if found.left:
        say(f"left             {count(found.left)}")
    if run.accounted:
        say(f"failed at first  {count(found.failed_at_first)} (planned {count(demo.plan.failing)})")
    say(f"retried          {count(found.retried)}")
    say(f"duration         {seconds:.2f} s")
    if run.clean is not None:
        say(f"relay doctor     {'clean' if run.clean else 'found something'}")
