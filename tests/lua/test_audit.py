"""audit: finds every kind of damage, and nothing where there is none."""

import pytest

from relay_server.model import Extension
from tests.support.engine import Lab, a_job, new_id


async def test_a_queue_in_all_states_is_clean_and_unchanged(lab: Lab) -> None:
    await lab.enqueued(*(a_job() for _ in range(600)), a_job(delay_ms=5))
    await lab.dead()
    held = await lab.in_flight()
    await lab.transitions.extend(lab.queue, [Extension(*held)])
    before = await lab.dump()
    checked, cursor, pages = 0, None, 0
    while True:
        page = await lab.ops.audit(lab.queue, cursor)
        assert page.findings == []
        checked, cursor, pages = checked + page.checked, page.cursor, pages + 1
        if cursor is None:
            break
    assert checked == 603
    assert pages >= 4  # 200 or so a page, then the errors
    assert await lab.dump() == before


@pytest.mark.damages
@pytest.mark.parametrize(
    ("damage", "invariant", "text"),
    [
        ("HDEL body {id}", "I1", "body holds 1"),
        ("HDEL body {id}", "I2", "body of 0 bytes"),
        ("HSET body {id} longer-than-it-was", "I2", "record says 2"),
        ("HDEL state {id}", "I2", "state holds 1"),
        ("ZREM ready {id}", "I1", "in no index"),
        ("ZADD delayed 5 {id}", "I1", "in ready and in delayed"),
        ("ZADD ready 5 {id}", "I2", "order score"),
        ("ZADD ready 5 {other}", "I1", "the indexes hold 3"),
        ("HSET error {other} x", "I13", "gone"),
        ("MOVE ready inflight {id}", "I2", "token"),
        ("MOVE ready dead {id}", "I2", "reason"),
    ],
)
async def test_each_damage_is_found(lab: Lab, damage: str, invariant: str, text: str) -> None:
    job_id, _ = await lab.enqueued(a_job(), a_job())
    verb, *names = damage.split()
    words: list[bytes] = []
    for name in names:
        if name in {"{id}", "{other}"}:
            words.append(job_id if name == "{id}" else new_id())
        elif name in {"body", "state", "ready", "delayed", "error", "inflight", "dead"}:
            words.append(lab.key(name))
        else:
            words.append(name.encode())
    if verb == "MOVE":
        await lab.command("ZREM", words[0], words[2])
        await lab.command("ZADD", words[1], 5, words[2])
    else:
        await lab.command(verb, *words)
    found = await lab.findings(lab.queue)
    assert any(finding.invariant == invariant and text in finding.detail for finding in found), found


@pytest.mark.damages
async def test_i7_more_attempts_than_allowed_are_found(lab: Lab) -> None:
    await lab.in_flight(a_job(max_attempts=1))
    raw = await lab.command("HGETALL", lab.key("state"))
    # The attempt is the first of the two-byte numbers behind score (8), version, priority, cancelled, reason (1 each).
    damaged = raw[1][:12] + b"\x02\x00" + raw[1][14:]
    await lab.command("HSET", lab.key("state"), raw[0], damaged)
    assert [finding.invariant for finding in await lab.findings(lab.queue)] == ["I7"]
