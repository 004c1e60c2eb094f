"""Which names of a client's certificate may say who calls."""

from relay_server.security.gate import names_of


def test_dns_names_and_uris_alone() -> None:
    found = names_of(
        {
            "x509_common_name": [b"keda.example"],
            "x509_subject_alternative_name": [b"a.example", b"spiffe://b/c", b"192.0.2.7", b"d@example.org"],
            "peer_dns": [b"a.example"],
            "peer_uri": [b"spiffe://b/c"],
            "peer_ip": [b"192.0.2.7"],
            "peer_email": [b"d@example.org"],
        }
    )
    assert found == ["a.example", "spiffe://b/c"]


def test_a_certificate_without_either_has_no_name() -> None:
    assert names_of({"x509_common_name": [b"keda.example"]}) == []
    assert names_of({}) == []
