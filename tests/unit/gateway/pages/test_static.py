"""The dashboard's files: what is served, as what, and for how long it may be kept."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

from relay_server.gateway.listening.serve import serve_http
from relay_server.gateway.pages.static import static_routes
from tests.support.http import request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>Relay</title>")
    (tmp_path / "favicon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "app-1a2b.js").write_text("1")
    (tmp_path / "assets" / "app-1a2b.css").write_text("a{}")
    return tmp_path


async def test_files_and_the_document(folder: Path) -> None:
    listener = await serve_http(Starlette(routes=[*static_routes(folder)]), "127.0.0.1", 0)
    try:
        page = await request(listener.port, "GET", "/")
        assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        script = await request(listener.port, "GET", "/assets/app-1a2b.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["cache-control"] == "public, max-age=31536000, immutable"
        icon = await request(listener.port, "GET", "/favicon.svg")
        assert (icon.headers["content-type"], icon.headers["cache-control"]) == (
            "image/svg+xml",
            "no-cache",
        )
        head = await request(listener.port, "HEAD", "/assets/app-1a2b.css")
        assert (head.status, head.body) == (200, b"")
        for path in (
            "/assets/gone.js",
            "/assets/../index.html",
            "/index",
            "/assets/%2e%2e/index.html",
            "/other",
            "/queues",  # the document's own addresses begin with #: here its relative links would lead nowhere
            "/queues/a.b",
        ):
            assert (await request(listener.port, "GET", path)).status == 404, path
        assert (await request(listener.port, "POST", "/")).status == 405
    finally:
        await listener.stop()


def test_without_built_files_there_is_nothing(tmp_path: Path) -> None:
    assert static_routes(tmp_path) == []
    assert static_routes(tmp_path / "gone") == []
