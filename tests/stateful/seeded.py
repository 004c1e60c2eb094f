"""Bugs to be sown into the Lua, each of which the state machine must find: what proves that the checker checks.

A seed replaces one piece of one file, which must occur there exactly once: a seed that no longer fits fails its test
instead of rotting unseen.
"""

from importlib import resources
from typing import Any, NamedTuple

from relay_server.engine.lua_script import Script, bind
from tests.stateful.contents import DELAY


class Seed(NamedTuple):
    """A bug: in `file`, `old` becomes `new`. `rules` are what it takes to show it, beside those of `COMMON`;
    `start` are jobs and `conf` settings that are there from the beginning."""

    name: str
    file: str
    old: str
    new: str
    rules: str = ""
    start: tuple[dict[str, Any], ...] = ()
    conf: dict[str, float] = {}  # noqa: RUF012 - no seed changes it


COMMON = "enqueue enqueue_plain claim advance advance_to"

SEEDS = (
    Seed(
        "the reaper takes leases that have not run out (I4)", "lib/expire",
        'ZRANGEBYSCORE", key.inflight, "-inf", now', 'ZRANGEBYSCORE", key.inflight, "-inf", "+inf"', "reap",
    ),
    Seed(
        "ack does not look at the token (I6)", "ack",
        "local word, ran = lease_word(record, token),", 'local word, ran = record and "OK" or "GONE",',
        "ack reap",
    ),
    Seed(
        "a hand-back burns the attempt (I7)", "lib/hand_back",
        "record.attempt = math.max(record.attempt - 1, 0)", "", "hand_back",
    ),
    Seed(
        "claim does not count the attempt (I7)", "lib/deal",
        "record.attempt = math.min(record.attempt + 1, 65535)", "record.attempt = math.max(record.attempt, 1)",
        "retry", ({}, {}),
    ),
    Seed(
        "errors are kept of jobs that are gone (I13)", "lib/jobs",
        "do w.HDEL[hash] = w.gone end", "do w.HDEL[hash] = w.gone end w.HDEL.error = nil", "retry cancel", ({}, {}),
    ),
    Seed(
        "an idempotency key has no time to live (I8)", "lib/writes",
        'one.value, "PX", ms_text(one.ms))', "one.value)",
    ),
    Seed(
        "entries of one batch do not see each other's key (I8)", "lib/admit",
        "intake.remembered[name] = id .. content\n    keep(w, name, intake.remembered[name], window)",
        "keep(w, name, id .. content, window)",
    ),
    Seed(
        "promote ignores expires_at", "lib/promote_due",
        "record.expires > 0 and record.expires <= now", "false", "promote",
        ({"expires_in_ms": 1000, "placing": (DELAY, 1000)},),
    ),
    Seed(
        "jobs are promoted before their time (I11)", "lib/promote_due",
        'key.delayed, "-inf", now,', 'key.delayed, "-inf", now + 1000,', "promote",
    ),
    Seed(
        "promotion forgets how long a job is due (I12)", "lib/promote_due",
        "order_score(math.max(0, tonumber(due[2 * i])), ", "order_score(now, ", "promote",
    ),
    Seed(
        "the epoch follows a clock that steps back (I6)", "lib/deal",
        "record.epoch = math.max(record.epoch + 1, now)", "record.epoch = now", "hand_back",
    ),
    Seed(
        "requeue leaves the attempts used up (I7)", "requeue",
        'record.attempt, record.expirations, record.reason, record.error_type = 0, 0, 0, ""',
        'record.reason, record.error_type = 0, ""', "retry requeue", ({"max_attempts": 1},) * 2,
    ),
    Seed(
        "requeue takes a job that died again (I9)", "requeue",
        "record and died[i] and tonumber(died[i]) <= tonumber(cutoff)", "record and died[i]", "retry requeue",
        ({"max_attempts": 1},) * 2,
    ),
    Seed(
        "a heartbeat outlives max_runtime", "extend",
        "if record.max_runtime > 0 then", "if false then", "extend", ({"max_runtime_ms": 1},) * 2,
    ),
    Seed(
        "a heartbeat can shorten a lease (I4)", "extend",
        "math.max(t + record.lease, tonumber(deadlines[at]) or 0)", "t + record.lease", "extend",
    ),
    Seed(
        "nack revives a cancelled job (I5)", "nack",
        "if record.cancelled == 1 then", "if false then", "retry cancel", ({}, {}),
    ),
    Seed(
        "an expired lease revives a cancelled job (I5)", "lib/expire",
        "if record.cancelled == 1 then", "if false then", "cancel reap", ({}, {}),
    ),
    Seed(
        "nack retries past max_attempts (I7)", "lib/nack_kinds",
        "if record.attempt >= record.max_attempts then", "if false then", "retry",
        ({"max_attempts": 1},) * 3,
    ),
    Seed(
        "a job that kills its workers is never buried (I7)", "lib/expire",
        "if record.expirations >= settings.max_expirations then", "if false then", "reap", ({}, {}),
        {"max_expirations": 2.0},
    ),
    Seed(
        "backoff goes past max_backoff", "lib/fail",
        "if not (cap < record.max_backoff) then cap = record.max_backoff end", "", "retry",
        ({"backoff": (1000, 500, 1.5)},) * 3,
    ),
    Seed(
        "a repeated nack is not recognised (I10)", "lib/lease",
        'record.settled = record.token .. struct.pack("<Bd", state, delay)', 'record.settled = ""', "nack",
    ),
    Seed(
        "claims do not use up the rate (I14)", "claim",
        "tokens = tokens - dealt", "", "", ({},), {"rate": 2.0},
    ),
    Seed(
        "a claim rounds the rate up (I14)", "claim",
        "math.floor(tokens)", "math.ceil(tokens)", "", ({},) * 4, {"rate": 0.3, "burst": 2.5},
    ),
    Seed("pause is ignored", "claim", "if settings.paused then", "if false then", "pause"),
    Seed(
        "the first session gets everything (I12)", "lib/deal",
        "for _ = 1, #groups do\n    turn = turn % #groups + 1", "for g = 1, #groups do\n    turn = g",
    ),
    Seed(
        "one reply is larger than the cap", "lib/head",
        "bytes + record.body_len > bytes_max", "bytes + record.body_len > 2 * bytes_max", "",
        ({"body": b"x" * 600},) * 3,
    ),
    Seed(
        "a claim whose reply arrived is handed back (I10)", "hand_back_claim",
        "if not stored or claim_nonce(stored) ~= nonce then", "if not stored then", "hand_back_claim",
    ),
    Seed(
        "abandon ends leases that were extended (I4)", "abandon",
        " and record.extended <= tonumber(since)", "", "abandon",
    ),
    Seed(
        "a request is not remembered (I10)", "enqueue",
        "if seen and accepted then", "if false then",
    ),
    Seed(
        "a job id that is alive is taken again (I10)", "lib/admit",
        'if intake.alive[id] then return "CREATED", "" end', "", "enqueue_again",
    ),
    Seed(
        "a queue takes one job too many (I13)", "lib/admit",
        "if intake.created >= intake.room then", "if intake.created > intake.room then",
        "", ({}, {}), {"max_jobs": 3.0},
    ),
    Seed(
        "a record that was cut stops its queue (I16)", "lib/record",
        "local whole, record = pcall(decode, raws[i])", "local whole, record = true, decode(raws[i])",
        "damage reap", ({}, {}),
    ),
    Seed(
        "a record that is longer than it says is read (I2)", "lib/record",
        "size ~= #raw or at ~= #raw + 1 or", "", "damage", ({}, {}),
    ),
    Seed(
        "a job that cannot be read is not set aside by its settle (I2)", "lib/aside",
        'redis.call("ZSCORE", key[from], id) then set_aside', "false then set_aside", "damage ack", ({}, {}),
    ),
    Seed(
        "what was set aside is never purged (I13)", "purge",
        "    erase_aside(w, id)\n    n = n + 1", "    n = n + 1",
        "damage purge", ({}, {}),
    ),
    Seed(
        "a step back of the clock freezes leases (I16)", "reap",
        "local stepped = has_stepped(settings, t)", "local stepped = false", "reap",
        ({}, {}),
    ),
    Seed(
        "a lease of an outage uses the attempt (I7)", "lib/outage",
        "record.attempt = math.max(record.attempt - 1, 0)", "", "reap no_server", ({}, {}),
    ),
    Seed(
        "that a job was spared is not remembered, so it may be for ever (I7)", "lib/outage",
        'note_failure(w, key, id, record, now, OUTAGE_FAILURE, "")', "", "reap no_server", ({}, {}),
    ),
    Seed(
        "a lease that was extended since is spared (I7)", "lib/outage",
        " or record.extended >= outage.to", "", "reap no_server extend", ({}, {}),
    ),
    Seed(
        "no time to come back after an outage", "lib/outage",
        "if now < until_ms then", "if false then", "reap no_server", ({}, {}),
    ),
)  # fmt: skip


def sown(seed: Seed) -> dict[str, Script]:
    """All scripts, bound as a server does it, with one bug among them."""
    folder = resources.files("relay_server.engine").joinpath("lua")
    texts = {
        prefix + file.name.removesuffix(".lua"): file.read_text()
        for prefix, place in (("", folder), ("lib/", folder.joinpath("lib")))
        for file in place.iterdir()
        if file.name.endswith(".lua")
    }
    found = texts[seed.file].count(seed.old)
    assert found == 1, f"the seed {seed.name!r} fits {found} places of {seed.file}.lua, not one: {seed.old!r}"
    texts[seed.file] = texts[seed.file].replace(seed.old, seed.new)
    library = {name.removeprefix("lib/"): text for name, text in texts.items() if name.startswith("lib/")}
    return {name: bind(name, text, library) for name, text in texts.items() if not name.startswith("lib/")}
