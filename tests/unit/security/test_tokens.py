"""What a tokens file may say, whose a token is, and that a wrong file changes nothing (I18)."""

import sys
from pathlib import Path

import pytest

from relay_server.security.gate import bearer_of
from relay_server.security.principals import Role
from relay_server.security.tokens import BadTokensFile, Tokens
from tests.support.credentials import TokensFile

HASH = "0" * 64


@pytest.fixture
def file(tmp_path: Path) -> TokensFile:
    return TokensFile(tmp_path / "tokens.toml")


def test_a_token_gives_its_principal_and_roles(file: TokensFile) -> None:
    token = file.add("shop", producer="orders-*")
    found = Tokens(file.path).authenticate(token)
    assert found is not None
    assert found.name == "shop"
    assert found.may(Role.PRODUCER, "orders-eu")
    assert not found.may(Role.PRODUCER, "mail")
    assert not found.may(Role.VIEWER, "orders-eu")
    assert not found.may(Role.WORKER, "orders-eu")


def test_an_operator_also_views_and_nothing_else(file: TokensFile) -> None:
    token = file.add("desk", operator="*")
    found = Tokens(file.path).authenticate(token)
    assert found is not None
    assert [role for role in Role if found.may(role, "any")] == [Role.VIEWER, Role.OPERATOR]


def test_both_tokens_of_a_principal_are_valid(file: TokensFile) -> None:
    tokens = [file.add("shop", producer="*") for _ in range(2)]
    known = Tokens(file.path)
    assert all(known.authenticate(token) for token in tokens)
    file.add("shop", producer="*")
    with pytest.raises(BadTokensFile, match="relay token revoke"):
        Tokens(file.path)


def test_no_other_text_is_a_token(file: TokensFile) -> None:
    token = file.add("shop", producer="*")
    expired = file.add("shop", producer="*", expires_s=-1)
    known = Tokens(file.path)
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    for text in ("", "x", token[:-1], token + "A", wrong, expired, "relay_00000000_" + "A" * 43, "é" * 58):
        assert known.authenticate(text) is None


def test_a_wrong_file_keeps_the_old_one(file: TokensFile) -> None:
    token = file.add("shop", producer="*")
    known = Tokens(file.path)
    file.path.write_text("[[token]]\nid = 1")
    with pytest.raises(BadTokensFile):
        known.reload()
    assert known.authenticate(token)
    file.revoke(token)
    known.reload()
    assert known.authenticate(token) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tokens = []", "tokens"),
        ("[token]", "list"),
        ("[[token]]", "id"),
        ("[[token]]\nid = 12345678", "in quotes"),
        ('[[token]]\nid = "0000000a"', "sha256"),
        (f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"', "principal"),
        (
            f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "anyone"\nworker = ["*"]',
            "must not be anyone",
        ),
        (f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "a"', "roles"),
        (f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "a"\nadmin = ["*"]', "admin"),
        (f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "a"\nworker = "*"', "list of globs"),
        (f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "a"\nworker = [""]', "worker"),
        (
            f'[[token]]\nid = "0000000a"\nsha256 = "{HASH}"\nprincipal = "a"\nworker = ["*"]\nexpires = 2027-01-01',
            "zone",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(BadTokensFile, match=named) as refused:
        Tokens(path)
    assert str(path) in str(refused.value)


def test_a_certificate_gives_its_principal_and_roles(file: TokensFile) -> None:
    file.add_certificate("keda.example", "keda", viewer="*")
    known = Tokens(file.path)
    found = known.of_certificate(["other.example", "keda.example"])
    assert found is not None
    assert (found.name, found.may(Role.VIEWER, "any"), found.may(Role.WORKER, "any")) == ("keda", True, False)
    assert known.of_certificate(["keda.example.org", "KEDA.example", ""]) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            'name = "*.example"\nprincipal = "p"\nviewer = ["*"]',
            "name: must be a name that certificates carry",
        ),
        ('principal = "p"\nviewer = ["*"]', "name: must be"),
        ('name = "a"\nprincipal = "p"', "roles: give at least one"),
        ('name = "a"\nprincipal = "p"\nsha256 = "x"\nviewer = ["*"]', "sha256: is not known"),
    ],
)
def test_bad_certificate_tables_are_refused(file: TokensFile, text: str, words: str) -> None:
    file.path.write_text(f"[[certificate]]\n{text}\n")
    with pytest.raises(BadTokensFile, match=words.replace("*", r"\*")):
        Tokens(file.path)


def test_no_name_that_a_caller_sends_is_remembered(file: TokensFile) -> None:
    """They come without end. A glob is matched faster than they would be found again."""
    token = file.add("shop", producer="a-*")
    found = Tokens(file.path).authenticate(token)
    assert found is not None
    before = sys.getsizeof(found), [len(getattr(found, name)) for name in ("grants", "_patterns")]
    assert all(found.may(Role.PRODUCER, f"a-{number}") for number in range(100))
    assert not any(found.may(Role.PRODUCER, f"b-{number}") for number in range(100))
    assert (sys.getsizeof(found), [len(getattr(found, name)) for name in ("grants", "_patterns")]) == before
    assert set(found.__slots__) == {"name", "grants", "_patterns"}


@pytest.mark.parametrize("value", ["Basic abc", "Bearer ", "Bearer", "", b"\xff"])
def test_an_authorization_that_is_malformed_is_still_one(value: str | bytes) -> None:
    # Empty would let a client's certificate count in its place.
    assert bearer_of([("authorization", value)])
    assert bearer_of([("authorization", "Bearer a"), ("authorization", "Bearer a")]) not in {"", "a"}
    assert not bearer_of([])


def test_a_reload_keeps_the_rules_of_the_start(file: TokensFile) -> None:
    token = file.add("shop", producer="*")
    known = Tokens(file.path, certificates=False)
    file.add_certificate("keda.example", "keda", viewer="*")
    with pytest.raises(BadTokensFile, match="--tls-client-ca"):
        known.reload()
    assert known.authenticate(token)
