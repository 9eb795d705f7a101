"""Fetches a wheel into a file, going on where the file ends: fetch.py FILE WHEEL REQUIREMENT PIP-OPTIONS...

pip itself begins anew whenever it is interrupted. So it is asked only where the wheel lies, and for the connection, that
the user's index, proxy, certificates and credentials may hold. It has no public interface for either: the exit status
is 3 where this pip is made otherwise.
"""

import fcntl
import os
import sys
import time

OTHER_PIP = 3
PARENT = os.getppid()


def main(path, wheel, *arguments):
    from pip._internal.cli.cmdoptions import make_target_python
    from pip._internal.commands.download import DownloadCommand

    command = DownloadCommand("download", "")
    with command.main_context():
        options, (requirement,) = command.parse_args(["--no-cache-dir", *arguments])
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session, make_target_python(options))
        candidates = finder.find_all_candidates(requirement.partition("==")[0])
        urls = [candidate.link.url_without_fragment for candidate in candidates if candidate.link.filename == wheel]
        if not urls:
            sys.exit(f"error: {wheel} was not found where pip looks (`python3 -m pip config list`)")
        with open(path, "ab") as file:
            # One that was orphaned may still be writing.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0, os.SEEK_END)
            fetch(session, urls[0], file)


def fetch(session, url, file):
    """Tries again until five attempts in a row have brought nothing."""
    from pip._vendor.requests.exceptions import RequestException

    failures = 0
    while True:
        begin = file.tell()
        try:
            if attempt(session, url, file):
                return
            reason = "the connection was closed"
        except RequestException as error:
            reason = error
        failures = 0 if file.tell() > begin else failures + 1
        if failures == 5:
            sys.exit(f"error: {reason}")
        print(f"\nInterrupted at {megabytes(file.tell())}: {reason}. Trying again ...", file=sys.stderr)
        time.sleep(2**failures - 1)


def attempt(session, url, file):
    """Whether all of it is there now."""
    # Encoded on its way, the parts would not fit together.
    headers = {"Accept-Encoding": "identity"}
    if file.tell() > 0:
        headers["Range"] = f"bytes={file.tell()}-"
    with session.get(url, headers=headers, stream=True) as response:
        if response.status_code == 416:
            if response.headers.get("Content-Range") == f"bytes */{file.tell()}":
                return True
            begin_anew(file)
            return attempt(session, url, file)
        if 400 <= response.status_code < 500:
            sys.exit(f"error: {response.status_code} {response.reason}: {response.url}")
        response.raise_for_status()
        if response.status_code != 206:
            begin_anew(file)
        total = file.tell() + int(response.headers.get("Content-Length", 0))
        shown = Progress(total)
        for chunk in response.iter_content(1 << 16):
            if os.getppid() != PARENT:
                sys.exit("error: nobody waits for it any more")
            file.write(chunk)
            shown.at(file.tell())
        return file.tell() >= total


def begin_anew(file):
    file.seek(0)
    file.truncate()


class Progress:
    """A bar on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, total):
        self.total = total
        self.on_terminal = sys.stderr.isatty()
        self.next = time.monotonic() + (0 if self.on_terminal else 5)

    def at(self, done):
        now = time.monotonic()
        if now < self.next and not (self.on_terminal and done == self.total):
            return
        of = f" of {megabytes(self.total)}" if self.total else ""
        if self.on_terminal:
            self.next = now + 0.1
            bar = "#" * (40 * done // self.total) if self.total else ""
            end = "\n" if done == self.total else ""
            print(f"\r[{bar:<40}] {megabytes(done)}{of} ", end=end, file=sys.stderr, flush=True)
        else:
            self.next = now + 5
            print(f"    {megabytes(done)}{of}", file=sys.stderr, flush=True)


def megabytes(size):
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (ImportError, AttributeError, TypeError):
        sys.exit(OTHER_PIP)
    except OSError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
