"""A program that forks while threads use a client, and uses it on both sides; exits with the number of failures."""

import os
import signal
import sys
import threading
import traceback

from relay_client import Client


def child(client: Client) -> int:
    signal.alarm(20)  # a child that hangs dies of it
    try:
        assert client._core.coalescer._lock.acquire(timeout=1), "the parent's lock was inherited"
        client._core.coalescer._lock.release()
        client.enqueue("q", "child", timeout=15)
        client.close()
    except BaseException:  # noqa: BLE001  # whatever it is, the child must not run the parent's code
        traceback.print_exc()
        return 1
    return 0


def main(server: str, forks: int) -> int:
    client = Client(server)
    client.enqueue("q", "parent")
    stop = threading.Event()

    def keep_using() -> None:
        while not stop.is_set():
            client.enqueue("q", "thread")

    threads = [threading.Thread(target=keep_using) for _ in range(2)]
    for thread in threads:
        thread.start()
    failed = 0
    for _ in range(forks):
        pid = os.fork()
        if pid == 0:
            os._exit(child(client))
        failed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    stop.set()
    for thread in threads:
        thread.join()
    client.enqueue("q", "parent")
    client.close()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
