"""The limits that options state before the SDK is loaded, which takes longer than `relay --help` may."""

from typing import Final

IN_FLIGHT_MAX: Final = 10_000
IDS_MAX: Final = 10_000
