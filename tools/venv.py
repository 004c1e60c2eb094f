"""Makes one virtual environment exactly as a hashed lock says, and leaves it alone while it is current.

    python3 tools/venv.py .venv requirements/dev.txt [--editable DIR ...]

Runs on the system's Python before anything is installed, so it uses the standard library only and stays
readable to old interpreters for as long as it takes to say that they are too old.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent


def main():
    parser = argparse.ArgumentParser(description="Make an environment exactly as a hashed lock says.")
    parser.add_argument("venv", type=Path, help="folder of the environment")
    parser.add_argument("lock", type=Path, help="hashed requirements file")
    parser.add_argument("--editable", type=Path, nargs="*", default=[], help="our distributions to link in")
    args = parser.parse_args()
    check_interpreter()
    # Two `make` at once must not build the same environment twice.
    with args.venv.with_name(args.venv.name + ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        install(args.venv, args.lock, args.editable)
    return 0


def check_interpreter():
    """Stop with the fix when this Python cannot make the environment."""
    if sys.version_info < OLDEST:
        stop(
            f"Relay needs Python {OLDEST[0]}.{OLDEST[1]} or newer; {sys.executable} is {sys.version.split()[0]}",
            "Name a newer one: make PYTHON=python3.12 ...",
        )
    try:
        import ensurepip  # noqa: F401  (the parts of `venv` that Debian packages apart)
        import venv  # noqa: F401
    except ImportError:
        stop(
            f"{sys.executable} cannot make virtual environments: its venv/ensurepip modules are missing.",
            "On Debian and Ubuntu: apt-get install python3-venv",
        )


def install(venv, lock, editable):
    """Bring `venv` to what `lock` and the projects in `editable` say; a failed run leaves no stamp behind."""
    python = venv / "bin" / "python"
    locked, linked = venv / "lock.stamp", venv / "editable.stamp"
    if not (is_copy(locked, lock.read_bytes()) and python.exists()):
        say(f"making {venv} from {lock} (once; later runs reuse it)")
        if venv.exists():
            shutil.rmtree(venv)
        run([sys.executable, "-m", "venv", str(venv)])
        pip(python, "install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(lock))
        locked.write_bytes(lock.read_bytes())
    projects = b"".join((folder / "pyproject.toml").read_bytes() for folder in editable)
    if editable and not is_copy(linked, projects):
        # Every dependency is already there by hash, so nothing may be fetched for our own distributions.
        links = [word for folder in editable for word in ("-e", str(folder))]
        pip(python, "install", "--no-deps", "--no-build-isolation", *links)
        linked.write_bytes(projects)


def is_copy(stamp, wanted):
    return stamp.exists() and stamp.read_bytes() == wanted


def pip(python, *arguments):
    quiet = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
    run([str(python), "-m", "pip", arguments[0], *quiet, *arguments[1:]])


def run(command):
    # A user's PYTHONPATH or `pip install --user` default would reach into the new environment.
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME", "PIP_USER"}}
    done = subprocess.run(command, check=False, env=environment, cwd=ROOT)
    if done.returncode:
        stop(f"status {done.returncode} from: {' '.join(command)}", "Its own message is above.")


def say(text):
    print(f"relay: {text}", file=sys.stderr, flush=True)


def stop(problem, fix):
    sys.exit(f"relay: {problem}\nrelay: {fix}")


if __name__ == "__main__":
    sys.exit(main())
