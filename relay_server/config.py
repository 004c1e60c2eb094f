"""Every option of relay-server: one field, its default, unit and meaning. Flags and RELAY_ variables follow from it."""

import ipaddress
import re
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from relay_server import limits, queue_defaults
from relay_server.ports import split_address

HTTP_OFF = "off"
QUEUE_IDLE_FORGET_S_MIN = 600

_HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Config(BaseSettings):
    """The Relay server: a queue broker on Redis. Each option is also an environment variable, RELAY_ and its name."""

    model_config = SettingsConfigDict(
        env_prefix="RELAY_",
        frozen=True,
        extra="ignore",
        cli_prog_name="relay-server",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        nested_model_default_partial_update=False,
    )

    listen: str = Field(
        "127.0.0.1:50051", description="gRPC address: HOST:PORT (port 0: any free one) or unix:PATH"
    )
    http: str = Field("127.0.0.1:8080", description="HTTP address: HOST:PORT (port 0: any free one), or off")
    http_allowed_host: list[str] = Field(
        [], description="further host name, without a port, that HTTP requests may ask for; may be repeated"
    )
    http_body_bytes_max: int = Field(
        6 << 20, ge=1024, le=64 << 20, description="largest body of an HTTP request, in bytes"
    )
    http_json_depth_max: int = Field(
        64, ge=8, le=90, description="how deep the JSON of an HTTP request may be nested, in levels"
    )
    http_json_values_max: int = Field(
        50_000, ge=1000, description="how many values the JSON of an HTTP request may have"
    )
    http_timeout_default_s: float = Field(
        10.0, gt=0, description="how long an HTTP call may take when it does not say so itself, in seconds"
    )
    http_timeout_max_s: float = Field(
        60.0, gt=0, description="longest time an HTTP call can ask for, in seconds; streams have none"
    )
    http_streams_max: int = Field(
        1000, ge=1, description="streams (SSE, NDJSON) the HTTP listener serves at once"
    )
    http_connections_max: int = Field(
        2000, ge=1, description="connections the HTTP listener has at once; those that wait longest make room"
    )
    http_connections_per_address_max: int = Field(
        500,
        ge=1,
        description="of these, connections of one address (of IPv6: of one /64); behind a proxy all callers have one",
    )
    http_header_timeout_s: float = Field(
        10.0,
        ge=0.1,
        le=600,
        description="how long a TLS handshake, and the headers of an HTTP request, may take, in seconds",
    )
    http_idle_timeout_s: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="how long an HTTP connection is kept for another request, in seconds",
    )
    http_write_timeout_s: float = Field(
        30.0,
        ge=0.1,
        le=3600,
        description="how long a reader may take nothing of what waits for it over HTTP, in seconds",
    )
    http_held_bytes_max: int = Field(
        64 << 20,
        ge=1 << 20,
        description="what HTTP requests and answers that are on their way hold, all together, in bytes; half for one "
        "caller",
    )
    metrics: str = Field(
        HTTP_OFF,
        description="HOST:PORT of one more HTTP listener, with /metrics for whoever reaches it and nothing else but "
        "probes, or off; /metrics of --http wants a token where there are tokens",
    )
    metrics_queues_max: int = Field(
        200, ge=0, le=5000, description='queues with metrics of their own; the others are one queue "other"'
    )
    redis_url: str | None = Field(
        None, description="redis://, rediss:// or unix:// URL of a Redis; without it an embedded one is run"
    )
    data_dir: Path | None = Field(
        None,
        description="folder of the embedded Redis, kept between runs (default: relay in the user's state folder)",
    )
    log_format: Literal["console", "json"] = Field("console", description="console or json")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least level that is logged"
    )
    payload_bytes_max: int = Field(
        limits.PAYLOAD_BYTES_MAX,
        ge=1,
        le=3 << 20,
        description="largest payload of a job, in bytes, up to 3 MiB",
    )
    streams_max: int = Field(
        10_000,
        ge=1,
        description="claim streams this server serves at once; each worker also has one of --connections-max",
    )
    session_bytes_max: int = Field(
        limits.SESSION_BYTES_MAX,
        ge=1 << 20,
        description="jobs that wait in the server for one worker that reads slowly, in bytes; one job always goes",
    )
    waiting_bytes_max: int = Field(
        limits.WAITING_BYTES_MAX,
        ge=16 << 20,
        description="jobs that wait in the server for all workers together, in bytes; above it claims wait",
    )
    connections_max: int = Field(4000, ge=1, description="connections the gRPC listener has at once")
    connection_calls_max: int = Field(
        250,
        ge=100,
        description="calls and streams that one gRPC connection carries at once; what is more waits in the client",
    )
    calls_max: int = Field(
        2000, ge=100, description="calls this server runs at once; one caller may have all that others leave"
    )
    message_within_s: float = Field(
        30.0, ge=1, le=600, description="how long the message of a call may take to arrive, in seconds"
    )
    keep_alive_s: float = Field(
        15.0, ge=0.1, le=600, description="longest silence of a claim stream, in seconds"
    )
    stream_age_max_s: float = Field(
        1800.0,
        ge=1,
        description="age at which a claim stream is asked to reconnect, in seconds, give or take 20 %%",
    )
    drain_grace_s: float = Field(
        10.0, ge=0, le=600, description="how long calls under way may take at shutdown, in seconds"
    )
    tls_cert: Path | None = Field(
        None, description="PEM certificate of both listeners, with its chain; read again when it changes"
    )
    tls_key: Path | None = Field(None, description="PEM key of --tls-cert")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM certificates; every client must then show a certificate that one of them signed",
    )
    tokens_file: Path | None = Field(
        None,
        description="file of bearer tokens, made by relay token; every call must then carry one. "
        "Read again when it changes",
    )
    credentials_stale_max_s: float = Field(
        60.0,
        gt=0,
        description="how long a changed tokens file or certificate may stay unread before this server turns not ready, "
        "in seconds",
    )
    principal_streams_max: int = Field(
        500, ge=1, description="streams that one principal may have on this server at once"
    )
    principal_opens_per_s: float = Field(
        20.0,
        ge=0,
        description="streams that one principal may open on this server, per second, beside as many at once as it "
        "may have (0: no limit)",
    )
    principal_bytes_max: int = Field(
        limits.PRINCIPAL_BYTES_MAX,
        ge=8 << 20,
        description="jobs that wait in the server for all workers of one principal, in bytes",
    )
    principal_subscriptions_max: int = Field(
        4000,
        ge=1,
        description="queues that one principal may claim from on this server at once, counted for each of its streams",
    )
    principal_watches_max: int = Field(
        100, ge=1, description="streams of WatchStats that one principal may have on this server at once"
    )
    principal_queues_max: int = Field(
        1000,
        ge=0,
        description="queues that one principal may have made and that are still known (0: no limit)",
    )
    queues_max: int = Field(
        10_000, ge=0, description="queues that the store may hold; a new one is refused then (0: no limit)"
    )
    queue_default: list[str] = Field(
        [],
        description="settings that new queues begin with, as GLOB:SETTING=NUMBER,SETTING=NUMBER; the first that "
        "matches counts. Settings: rate, burst, max_jobs, max_expirations, priority_step_s. May be repeated",
    )
    queue_idle_forget_s: float = Field(
        86_400.0,
        ge=0,
        description="an empty queue that nobody used for so long is forgotten, unless an operator configured or "
        "paused it, in seconds: 600 or more, or 0 for never",
    )
    principal_calls_per_s: float = Field(
        0.0, ge=0, description="calls that one principal may make on this server, per second (0: no limit)"
    )
    insecure_allow_public_without_auth: bool = Field(
        False,
        description="serve other addresses than loopback although anyone there may then read and use every queue",
    )

    @field_validator("listen", "http", "metrics")
    @classmethod
    def _address(cls, value: str, info: ValidationInfo) -> str:
        of_http = info.field_name != "listen"
        if value == HTTP_OFF if of_http else value.startswith("unix:"):
            return value
        host, port = split_address(value)
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            other = HTTP_OFF if of_http else "unix:PATH"
            raise ValueError(f"must be HOST:PORT, such as 127.0.0.1:50051, or {other}, not {value!r}")
        return value

    @field_validator("http_allowed_host")
    @classmethod
    def _hosts(cls, values: list[str]) -> list[str]:
        for value in values:
            if not _HOST_NAME.fullmatch(value) and not _is_ip_address(value.strip("[]")):
                raise ValueError(f"must be host names, such as relay.example, without a port, not {value!r}")
        return values

    @field_validator("queue_default")
    @classmethod
    def _queue_defaults(cls, values: list[str]) -> list[str]:
        whole = queue_defaults.join(values)
        for value in whole:
            queue_defaults.parse(value)
        return whole

    @field_validator("queue_idle_forget_s")
    @classmethod
    def _idle_forget(cls, value: float) -> float:
        if 0 < value < QUEUE_IDLE_FORGET_S_MIN:  # servers trust for minutes that a queue they used is known
            raise ValueError(f"must be 0, for never, or at least {QUEUE_IDLE_FORGET_S_MIN}, not {value:g}")
        return value

    @model_validator(mode="after")
    def _certificate_and_key(self) -> "Config":
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together: give both, or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError(
                "--tls-client-ca has no effect without TLS: give --tls-cert and --tls-key as well"
            )
        return self

    @model_validator(mode="after")
    def _loopback_or_guarded(self) -> "Config":
        missing = " and ".join(self.guards_missing)
        if missing and self.public_addresses and not self.insecure_allow_public_without_auth:
            raise ValueError(
                f"{self.public_addresses[0]} is reachable from other machines: give {missing}, or use a loopback "
                "address such as 127.0.0.1, or --insecure-allow-public-without-auth"
            )
        return self

    @property
    def guards_missing(self) -> tuple[str, ...]:
        """The options without which other machines must not reach this server. A client's certificate says that it may
        connect, not what it may do, so --tls-client-ca replaces neither."""
        tls = () if self.tls_cert is not None else ("--tls-cert with --tls-key",)
        return tls if self.tokens_file is not None else (*tls, "--tokens-file")

    @property
    def public_addresses(self) -> tuple[str, ...]:
        """Each option and its address that other machines may reach."""
        given = (("--listen", self.listen), ("--http", self.http), ("--metrics", self.metrics))
        return tuple(f"{option} {address}" for option, address in given if _is_public(option, address))


def _is_public(option: str, address: str) -> bool:
    if address == HTTP_OFF or (option == "--listen" and address.startswith("unix:")):
        return False
    return not is_loopback(split_address(address)[0])


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether every address of the host is this machine's own. A name that does not resolve is not."""
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        try:
            entries = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
        except OSError:
            return False
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
    return bool(addresses) and all(
        (address.ipv4_mapped or address).is_loopback
        if isinstance(address, ipaddress.IPv6Address)
        else address.is_loopback
        for address in addresses
    )
