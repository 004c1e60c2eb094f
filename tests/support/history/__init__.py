"""The calls of clients and workers with their answers, a line of JSON each, and the check that they keep the promises.

A history is a folder with one `.jsonl` file for each client. Times are ms of the wall clock, which on one host is
also the store's clock. The invocation of a call is written before the call is made, so that what a killed process
had sent is known too.

    enqueue, ack, nack, extend   {"n", "op", "t", "jobs": [[job id, idempotency key or token], ...]}
                                 {"n", "t", "outcome": ok | fail | unknown, "replies": [word or job id, ...]}
    deliver                      {"op", "t", "token", "until", "grace", "jobs": [[id, attempt, max attempts, epoch]]}
    start, finish                {"op", "t", "job", "attempt", "epoch"}

This package is the facade; tests import from here.
"""

from tests.support.history.checker import SLACK_MS, Final, Verdict, Violation, check
from tests.support.history.reader import Delivery, History, Op, Run, read_history
from tests.support.history.recorder import Kind, Outcome, Recorder

__all__ = [
    "SLACK_MS",
    "Delivery",
    "Final",
    "History",
    "Kind",
    "Op",
    "Outcome",
    "Recorder",
    "Run",
    "Verdict",
    "Violation",
    "check",
    "read_history",
]
