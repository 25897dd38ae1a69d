#!/usr/bin/env python3
"""The tour on a terminal, as a stranger sees it: colour, a server that stays till Ctrl-C and can be used meanwhile, nothing left
behind; and its end where a step fails."""
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from lib import BIN

MINUTE = 60


def start(home, *args):
    """(pid, descriptor of its terminal)"""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(home)
        os.execve(str(BIN / "holdfast"), ["holdfast", "tour", *args], {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "xterm"})
    return pid, terminal


def read_until(terminal, wanted, seconds):
    text, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            part = b""
        text += part
        if not part or wanted in text:
            break
    return text


def exit_code(pid, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("it does not end")


class Tour(unittest.TestCase):
    def test_on_a_terminal(self):
        with tempfile.TemporaryDirectory() as home:
            began = time.monotonic()
            pid, terminal = start(home, "--port", "0")
            try:
                text = read_until(terminal, b"keys/payments\r\n", 2 * MINUTE)
                self.assertIn(b"stays up till Ctrl-C", text, text[-2000:])
                self.assertLess(time.monotonic() - began, MINUTE)
                self.assertIn(b"\033[", text)
                shown = re.search(rb"\. (\S+)/env && export HOLDFAST_TOKEN=(\S+)", text)
                self.assertTrue(shown, text[-2000:])
                folder = Path(shown[1].decode())
                read = subprocess.run(["/bin/sh", "-c", f". '{folder}/env' && export HOLDFAST_TOKEN={shown[2].decode()} && exec '{BIN}/holdfast' key read payments"],
                                      env={"PATH": os.environ["PATH"], "HOME": home}, capture_output=True, timeout=20)
                self.assertEqual(read.returncode, 0, read.stderr)
                os.write(terminal, b"\x03")
                read_until(terminal, b"and is gone", 20)
                self.assertEqual(exit_code(pid), 0)
            finally:
                os.close(terminal)  # its end, where it still runs
            self.assertFalse(folder.exists(), "the tour left something behind")
            self.assertEqual(os.listdir(home), [], "the tour wrote into the home")

    def test_a_step_that_fails_ends_it(self):
        with socket.socket() as taken, tempfile.TemporaryDirectory() as home:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run([str(BIN / "holdfast"), "tour", "--port", str(port)], env={"PATH": os.environ["PATH"], "HOME": home},
                                  capture_output=True, timeout=MINUTE)
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stderr.decode() + done.stdout.decode(), rf"{port}.*in use")

    def test_a_chapter_that_there_is_none_of(self):
        done = subprocess.run([str(BIN / "holdfast"), "tour", "no-such"], capture_output=True, timeout=MINUTE)
        self.assertEqual(done.returncode, 2)


if __name__ == "__main__":
    unittest.main(verbosity=2)
