"""The language of scenarios: what a scenario file may say, checked, and the JSON Schema made from that."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FOLDER = Path(__file__).parent / "scenarios"
SCHEMA = FOLDER / "schema.json"

# As a broker's name: the one whose stream is open.
CURRENT = "current"

Capability = Literal["produce", "work", "signal"]
Rpc = Literal["Claim", "Enqueue", "EnqueueBatch", "Ack", "Nack", "Extend"]
Outcome = Literal["OK", "LEASE_LOST", "GONE", "CANCELLED", "UNKNOWN"]
# What can be seen; `command` is what the kit told the driver.
Kind = Literal[
    "command", "working", "job_started", "job_cancelled", "job_finished", "stopped", "produced", "result", "exited",
    "claim", "claim_ended", "delivery", "call", "ack", "nack", "extend", "report", "enqueue",
]  # fmt: skip
Where = Annotated[
    dict[str, Any],
    Field(description="field: value, or field: {least, most, matches, in, not}; headers.x looks inside"),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Broker(_Strict):
    """One broker double. Times in ms."""

    lease_ms: int = Field(default=3000, description="lease it grants; 0: the one the claim asks for")
    keep_alive_ms: int = Field(default=15_000, description="sends a KeepAlive after so much silence")
    proxy: bool = Field(default=False, description="clients reach it through a TCP proxy")
    connection_age_ms: int = Field(
        default=0, description="sends GOAWAY to connections of about this age; 0: never"
    )
    connection_age_grace_ms: int = Field(
        default=0, description="how long after GOAWAY it closes such a connection"
    )
    listening: bool = Field(default=True, description="false: nobody listens there until start_broker")


class JobToDo(_Strict):
    """A job the broker double hands out."""

    name: str
    type: str = "work"
    payload: str = '{"n": 1}'
    payload_bytes: int = Field(default=0, description="instead of payload: so many bytes")
    content_type: str = ""
    headers: dict[str, str] = {}
    attempt: int = 1
    max_runtime_ms: int = 0
    copies: int = Field(default=1, description="so many jobs, called name-1, name-2, …")


class JobToEnqueue(_Strict):
    """A job a producer is told to enqueue."""

    type: str = "work"
    payload: str = '{"n": 1}'
    payload_bytes: int = Field(default=0, description="instead of payload: so many bytes")
    content_type: str | None = None
    headers: dict[str, str] | None = None
    priority: int | None = None
    delay_ms: int | None = None
    idempotency_key: str | None = None
    max_runtime_ms: int | None = None
    retry: dict[str, int] | None = None
    copies: int = 1


class Error(_Strict):
    """A call that fails."""

    code: str
    reason: str = Field(default="", description="ErrorReason without its prefix; none: gRPC's own error")
    message: str = "scripted"
    metadata: dict[str, str] = {}
    retry_after_ms: int | None = None
    violation: str | None = Field(default=None, description="field that BadRequest names")


class Work(_Strict):
    """Tells the driver to start its worker."""

    do: Literal["work"]
    brokers: list[str] = ["a"]
    queues: dict[str, int] = {"q": 1}
    worker_id: str = "conformance"
    concurrency: int = 4
    lease_ms: int = 3000
    grace_ms: int = 2000
    token: str | None = None
    handlers: dict[str, dict[str, Any]] = {"work": {"do": "ok"}}


class Produce(_Strict):
    """Tells the driver to enqueue jobs."""

    do: Literal["produce"]
    id: str = "p"
    brokers: list[str] = ["a"]
    queue: str = "q"
    mode: Literal["each", "together", "many"] = "each"
    deadline_ms: int = 5000
    token: str | None = None
    jobs: list[JobToEnqueue] = [JobToEnqueue()]
    clients: int = Field(
        1, description="so many times, each with a client of its own, at once; ids p-1, p-2, …"
    )


class Command(_Strict):
    """Tells the driver to drain."""

    do: Literal["drain"]


class Signal(_Strict):
    """Sends SIGTERM to the driver."""

    do: Literal["sigterm"]


class Answer(_Strict):
    """How a broker double answers calls from now on. Several for one RPC are used in their order."""

    do: Literal["answer"]
    broker: str = "a"
    rpc: Rpc
    times: int = Field(default=1, description="so many calls; 0: all further ones")
    error: Error | None = None
    applied: bool = Field(default=False, description="with error: the call takes effect all the same")
    outcome: Outcome | dict[str, Outcome] | None = Field(default=None, description="for all jobs, or by name")
    reasons: list[str] = Field(default=[], description="EnqueueBatch: ErrorReason of each job, '' for none")
    deduplicated: bool = False
    delay_ms: int = 0
    unknown_fields: bool = False
    ignore_window: bool = Field(default=False, description="as if the report had been lost on its way")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.applied and self.error is None:
            raise ValueError("applied: goes with error")
        return self


class Send(_Strict):
    """Puts a frame on the newest Claim stream."""

    do: Literal["send"]
    broker: str = Field(default="a", description="or current: the one whose stream is open")
    jobs: list[JobToDo] | None = None
    queue: str = "q"
    again: str | None = Field(default=None, description="delivers this job once more, under another token")
    same_token: bool = Field(default=False, description="with again: under the token it has")
    lease_ms: int = Field(default=0, description="lease_remaining; 0: the broker's lease")
    deadline_off_ms: int = Field(default=0, description="how far lease_deadline is from the truth")
    cancel: dict[str, Outcome] | None = Field(default=None, description="Cancel: job name to outcome")
    drain_ms: int | None = Field(default=None, description="Drain with this reconnect_after")
    keep_alive: int | None = Field(default=None, description="KeepAlive with this count of unsettled jobs")
    unknown: bool = Field(default=False, description="a frame of a later version")
    unknown_fields: bool = Field(
        False, description="fields of a later version in the frame and what it holds"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        frames = [self.jobs, self.again, self.cancel, self.drain_ms, self.keep_alive, self.unknown or None]
        if sum(one is not None for one in frames) != 1:
            raise ValueError("send: give one of jobs, again, cancel, drain_ms, keep_alive, unknown")
        return self


class Feed(_Strict):
    """Lets a broker double hand out jobs as its window allows, as a server does."""

    do: Literal["feed"]
    broker: str = "a"
    name: str = "job"
    type: str = "work"
    jobs: int
    frame_jobs: int = Field(default=2, description="at most so many jobs a frame")


class EndStream(_Strict):
    """Ends the newest Claim stream."""

    do: Literal["end_stream"]
    broker: str = "a"
    error: Error | None = None


class Proxy(_Strict):
    """Breaks, freezes or thaws the connections of a broker double with a proxy."""

    do: Literal["cut", "freeze", "thaw"]
    broker: str = "a"


class Switch(_Strict):
    """Stops a broker double, or lets it listen at its address; silence: it sends no more KeepAlives."""

    do: Literal["stop_broker", "start_broker", "silence"]
    broker: str = "a"


class Mark(_Strict):
    """Names this moment, for since."""

    do: Literal["mark"]
    name: str


class _Asks(_Strict):
    saw: Kind | list[Kind]
    where: Where = {}
    since: str | None = None


class Expect(_Asks):
    """Waits until this was seen `count` times."""

    do: Literal["expect"]
    count: int = 1
    within_ms: int = 8000


class Refute(_Asks):
    """This was not seen, and is not for so long from now."""

    do: Literal["refute"]
    for_ms: int = 0


class Count(_Asks):
    """This was seen so often until now."""

    do: Literal["count"]
    least: int = 0
    most: int = 1_000_000


class Compare(_Asks):
    """A field of all that was seen."""

    do: Literal["compare"]
    field: str
    rule: Literal["same", "distinct", "rising", "uuid7"]
    least: int = Field(default=2, description="so many must have been seen")


class Gaps(_Asks):
    """The time between each two that were seen one after the other."""

    do: Literal["gaps"]
    least: int = Field(default=1, description="so many gaps there must be")
    min_ms: int = 0
    max_ms: int = 1_000_000
    spread_ms: int = Field(
        default=0, description="half of the gaps are longer than the shortest by this and more: jitter"
    )
    begin: Where = Field(default={}, description="only the gaps after those that match this")


class Limit(_Strict):
    """The most handlers at once, or deliveries not settled, until now."""

    do: Literal["limit"]
    what: Literal["running", "unsettled"]
    most: int


class Reports(_Strict):
    """Every WindowReport until now told the truth. For scenarios with one stream."""

    do: Literal["reports_add_up"]
    least: int = 1


Step = Annotated[
    Work | Produce | Command | Signal | Answer | Send | Feed | EndStream | Proxy | Switch | Mark | Expect
    | Refute | Count | Compare | Gaps | Limit | Reports,
    Field(discriminator="do"),
]  # fmt: skip


class Scenario(_Strict):
    """One scenario file."""

    schema_: str = Field(default="schema.json", alias="$schema")
    about: str = Field(description="what is shown, in a sentence")
    rule: str = Field(description="where the rule is written")
    needs: list[Capability]
    brokers: dict[str, Broker] = {"a": Broker()}
    steps: list[Step]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for number, step in enumerate(self.steps):
            used = getattr(step, "brokers", None) or [getattr(step, "broker", "")]
            unknown = [one for one in used if one not in {"", CURRENT, *self.brokers}]
            if unknown:
                raise ValueError(f"steps[{number}]: no broker called {unknown[0]!r}")
        marks = {step.name for step in self.steps if isinstance(step, Mark)}
        for number, step in enumerate(self.steps):
            since = getattr(step, "since", None)
            if since is not None and since not in marks:
                raise ValueError(f"steps[{number}]: since: no mark called {since!r}")
        return self


class BadScenario(Exception):
    """A scenario file that cannot be played; names the file and the field."""


def load(names: Sequence[str] = (), folder: Path = FOLDER) -> dict[str, Scenario]:
    """The scenarios of these names, or all, by name. BadScenario says what is wrong with a name or a file."""
    files = {path.stem: path for path in sorted(folder.glob("*.json")) if path.name != SCHEMA.name}
    for name in names:
        if name not in files:
            raise BadScenario(f"scenario {name!r}: there is none; one of: {', '.join(files)}")
    return {name: read(files[name]) for name in names or files}


def read(path: Path) -> Scenario:
    """One scenario file."""
    try:
        return Scenario.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadScenario(f"{path.name}: {place}: {first['msg']}") from None


def schema() -> str:
    """The JSON Schema of a scenario file, as committed beside them."""
    made = Scenario.model_json_schema(by_alias=True)
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=1) + "\n"
