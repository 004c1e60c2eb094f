"""The limits that the SDK and the command line state are those of docs/protocol.md."""

import relay_cli.limits
import relay_client.limits
from tests.support.protocol_page import check_limits


def test_the_sdk_states_the_limits_of_the_page() -> None:
    check_limits(relay_client.limits)


def test_the_command_line_states_the_limits_of_the_page() -> None:
    check_limits(relay_cli.limits)
