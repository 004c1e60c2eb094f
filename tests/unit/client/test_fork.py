"""A client that was used goes on working on both sides of a fork."""

import subprocess
import sys
from pathlib import Path

from tests.unit.client.scripts import QueueScript


def test_parent_and_children_go_on(queue: QueueScript, server: str) -> None:
    # A program of its own: the server's threads of this process must not be forked.
    program = Path(__file__).with_name("forking.py")
    done = subprocess.run(
        [sys.executable, program, server, "8"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    # gRPC says so when a fork came in the middle of a call; such a child crashes now and then.
    assert "skipping fork() handlers" not in done.stderr
    sent = [
        job.type
        for request in queue.requests()
        for job in (request.jobs if hasattr(request, "jobs") else [request.job])
    ]
    assert sent.count("child") == 8
    assert sent.count("parent") == 2
    assert set(queue.job_ids().values()) == {1}
