"""Serves the dashboard's built files, when the distribution has them; its pages are fragments of the address `/`."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

Endpoint = Callable[[Request], Awaitable[Response]]

FOLDER = Path(__file__).parents[1] / "static"

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
# A table of our own: that of the machine may lack some, and with nosniff a wrong type is a blank page.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_INDEX = "index.html"
_YEAR, _AGAIN = "public, max-age=31536000, immutable", "no-cache"


def static_routes(folder: Path = FOLDER) -> Sequence[BaseRoute]:
    """A route for each file below `folder`, read at once, with index.html at `/`; none without an index.html."""
    if not (folder / _INDEX).is_file():
        return []
    routes: list[BaseRoute] = [Route("/", _served((folder / _INDEX).read_bytes(), ".html", "no-store"))]
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name != _INDEX:
            # Names of assets have a hash of their content, so they never change.
            cache = _YEAR if name.startswith("assets/") else _AGAIN
            routes.append(Route(f"/{name}", _served(file.read_bytes(), file.suffix, cache)))
    return routes


def _served(content: bytes, suffix: str, cache: str) -> Endpoint:
    headers = {
        "content-type": _TYPES.get(suffix, "application/octet-stream"),
        "cache-control": cache,
        "content-security-policy": _POLICY,
    }

    async def serve(_request: Request) -> Response:
        return Response(content, headers=headers)

    return serve
