"""`relay token`: what it writes the server reads; a secret is shown once and kept nowhere."""

import os
import stat
from pathlib import Path

import pytest

from relay_server.security.principals import Role
from relay_server.security.tokens import Tokens
from tests.support.cli import Relay, finish, start_relay


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relay: Relay) -> Path:
    path = tmp_path / "tokens.toml"
    monkeypatch.setenv("RELAY_TOKENS_FILE", str(path))
    return path


def make(relay: Relay, *words: str) -> str:
    ended = relay("token", "new", *words)
    assert ended.code == 0, ended.err
    return ended.out.strip()


def test_the_server_takes_what_it_wrote(relay: Relay, file: Path) -> None:
    token = make(relay, 'sh"op\\', "--producer", "orders-*", "--viewer", "*", "--expires", "2h")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    assert token.rpartition("_")[2] not in file.read_text()
    found = Tokens(file).authenticate(token)
    assert found is not None
    assert found.name == 'sh"op\\'
    assert found.grants[Role.PRODUCER] == ("orders-*",)
    assert found.grants[Role.VIEWER] == ("*",)
    assert found.grants[Role.OPERATOR] == ()


def test_any_printable_name_can_be_read_again(relay: Relay, file: Path) -> None:
    token = make(relay, "bot 🚀", "--viewer", "*")
    found = Tokens(file).authenticate(token)
    assert found is not None
    assert found.name == "bot 🚀"


def test_commands_at_the_same_time_lose_nothing(file: Path) -> None:
    started = [
        start_relay("token", "new", f"p{n}", "--viewer", "*", RELAY_TOKENS_FILE=str(file)) for n in range(4)
    ]
    tokens = [finish(one).out.strip() for one in started]
    known = Tokens(file)
    assert [known.authenticate(token) is not None for token in tokens] == [True] * 4
    ended = [
        finish(one)
        for one in [
            start_relay("token", "revoke", token.split("_")[1], RELAY_TOKENS_FILE=str(file))
            for token in tokens[:3]
        ]
    ]
    assert [one.code for one in ended] == [0] * 3
    known.reload()
    assert [known.authenticate(token) is not None for token in tokens] == [False] * 3 + [True]


def test_owner_and_permissions_stay(relay: Relay, file: Path) -> None:
    make(relay, "ada", "--operator", "*")
    owner = 12_345 if os.geteuid() == 0 else os.geteuid()  # only root can give a file away
    os.chown(file, owner, -1)
    file.chmod(0o640)
    make(relay, "shop", "--producer", "*")
    after = file.stat()
    assert (after.st_uid, stat.S_IMODE(after.st_mode)) == (owner, 0o640)


def test_rotation(relay: Relay, file: Path) -> None:
    old = make(relay, "shop", "--producer", "orders-*")
    new = make(relay, "shop")
    known = Tokens(file)
    first, second = known.authenticate(old), known.authenticate(new)
    assert first is not None
    assert second is not None
    assert first.grants == second.grants
    third = relay("token", "new", "shop")
    assert third.code == 1
    assert "revoke one first" in third.err
    assert relay("token", "revoke", old.split("_")[1]).code == 0
    known.reload()
    assert known.authenticate(old) is None
    assert known.authenticate(new) is not None


def test_certificates_stay_in_the_file(relay: Relay, file: Path) -> None:
    file.write_text('[[certificate]]\nname = "keda.example"\nprincipal = "keda"\nviewer = ["*"]\n')
    token = make(relay, "shop", "--producer", "*")
    assert Tokens(file).of_certificate(["keda.example"]) is not None
    assert relay("token", "revoke", token.split("_")[1]).code == 0
    assert Tokens(file).of_certificate(["keda.example"]) is not None


def test_the_list_has_no_secret(relay: Relay, file: Path) -> None:
    token = make(relay, "ada", "--operator", "*")
    listed = relay("token", "list", "--output", "json")
    (one,) = listed.value["tokens"]
    assert one["id"] == token.split("_")[1]
    assert one["operator"] == ["*"]
    assert "sha256" not in one
    assert "operator=*" in relay("token", "list").out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("new", "shop"), 2),
        (("new", "", "--viewer", "*"), 2),
        (("new", "shop", "--viewer", ""), 2),
        (("new", "shop", "--viewer", "*", "--expires", "soon"), 2),
        (("list",), 2),
    ],
)
def test_bad_arguments_are_refused(relay: Relay, file: Path, words: tuple[str, ...], code: int) -> None:
    assert relay("token", *words).code == code
    assert not file.exists()


def test_no_such_token(relay: Relay, file: Path) -> None:
    make(relay, "ada", "--operator", "*")
    ended = relay("token", "revoke", "00000000")
    assert ended.code == 4
    assert "relay token list" in ended.err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("expires = 2027-05-23", "expires"),
        ("expires = 2027-05-23T00:00:00", "zone"),
        ('viewer = "*"', "viewer"),
    ],
)
def test_a_file_that_was_edited_wrongly(relay: Relay, file: Path, text: str, named: str) -> None:
    """What is wrong is named, and nothing is written."""
    make(relay, "ada", "--operator", "*")
    edited = f"{file.read_text()}{text}\n"
    file.write_text(edited)
    for words in (("list",), ("new", "shop", "--viewer", "*")):
        ended = relay("token", *words)
        assert ended.code == 2
        assert named in ended.err
    assert file.read_text() == edited


@pytest.mark.parametrize("text", ['token = ["x"]', "token = 5", "certificate = 5", "no toml"])
def test_a_file_of_something_else(relay: Relay, file: Path, text: str) -> None:
    file.write_text(text)
    ended = relay("token", "list")
    assert (ended.code, str(file) in ended.err) == (2, True)
