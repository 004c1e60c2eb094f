"""enter_owned: which queues there are, and whose; all that a call names or none."""

import pytest

from relay_server import errors
from relay_server.engine import keys
from tests.support.engine import Lab


async def enter(lab: Lab, *names: str, who: str, queues: int = 0, owned: int = 0) -> list[bytes]:
    return await lab.script("enter_owned", lab.clock(), who, queues, owned, *names)


async def owned(lab: Lab) -> dict[bytes, bytes]:
    flat = await lab.command("HGETALL", keys.OWNED)
    return dict(zip(flat[::2], flat[1::2], strict=True))


@pytest.mark.covers("enter_owned", "OK", "FULL", "QUOTA")
async def test_all_or_none_within_the_quotas(lab: Lab) -> None:
    assert await enter(lab, "a", "b", "a", who="ann", queues=4, owned=3) == [b"OK", b"a", b"b"]
    assert await enter(lab, "a", "c", "d", who="ann", queues=9, owned=3) == [b"QUOTA"]
    assert await enter(lab, "a", "c", "d", "e", who="bob", queues=4, owned=3) == [b"FULL"]
    assert await enter(lab, "a", "b", who="bob", queues=2, owned=1) == [b"OK"], (
        "known ones are nobody's quota"
    )
    assert await enter(lab, "c", who="ann", queues=4, owned=3) == [b"OK", b"c"]
    assert await lab.names.all() == ["a", "b", "c"]
    assert await owned(lab) == {b"ann": b"3"}


@pytest.mark.damages
@pytest.mark.parametrize("key", ["used", "owner", "owned"])
async def test_i3_a_key_of_a_wrong_type_is_an_error_that_changes_nothing(lab: Lab, key: str) -> None:
    await lab.command("SET", keys.NAMES_KEYS[key], "x")
    with pytest.raises(errors.WrongState, match=f"{key} of the whole store is a string"):
        await enter(lab, "a", who="ann")
    await lab.command("DEL", keys.NAMES_KEYS[key])
    assert await lab.names.all() == []
    assert await owned(lab) == {}
