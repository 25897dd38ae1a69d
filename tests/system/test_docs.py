#!/usr/bin/env python3
"""What the documents say, held against the code and a running server."""
import re
import subprocess
import sys
import unittest
from pathlib import Path

import lib
from lib import BIN, SRC, Server

DOCS = sorted([SRC / "README.md", *(SRC / "docs").glob("*.md")])
CODE = {path: path.read_text() for folder in ("src", "include") for path in (SRC / folder).rglob("*.[ch]")}
TESTS = SRC / "tests"


def section(text, title):
    return text[text.index(title):].split("\n# ", 1)[0]


class Words(unittest.TestCase):
    def test_every_named_test_is_there(self):
        text = (SRC / "docs/requirements.md").read_text()
        named = re.findall(r"`((?:unit|contract|system|fuzz|vectors)/[\w./-]+)`((?: `\w+`)*)", text)
        self.assertGreater(len(named), 100)
        for path, names in named:
            with self.subTest(path):
                self.assertTrue((TESTS / path).is_file())
                inside = (TESTS / path).read_text()
                for name in re.findall(r"\w+", names):
                    self.assertRegex(inside, rf"\b{name}\s*\(", f"{path} has no {name}")

    def test_every_fuzz_target_is_named(self):
        text = (SRC / "docs/requirements.md").read_text()
        for path in (TESTS / "fuzz").glob("*.c"):
            self.assertIn(f"`fuzz/{path.name}`", text)
            self.assertTrue((TESTS / "fuzz/dict" / f"{path.stem}.dict").is_file(), f"{path.stem} has no dictionary")
            self.assertTrue(any((TESTS / "fuzz/corpus" / path.stem).iterdir()), f"{path.stem} has no corpus")

    def test_links_lead_somewhere(self):
        for doc in DOCS:
            for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", doc.read_text()):
                if not link.startswith("bench/"):  # written by `make bench`
                    self.assertTrue((doc.parent / link).exists(), f"{doc.name}: {link}")

    def test_files_named_are_there(self):
        for doc in DOCS:
            for name in re.findall(r"`((?:src|include|tests|docs|tools|packaging)/[\w./-]+\.\w+)`", doc.read_text()):
                self.assertTrue((SRC / name).exists(), f"{doc.name}: {name}")

    def test_events_and_answers_named_in_operations_are_real(self):
        text = (SRC / "docs/operations.md").read_text()
        events = {event for code in CODE.values() if "hf_log(" in code or "alarm" in code for event in re.findall(r'"([a-z_]+\.[a-z_]+)"', code)}
        named = set(re.findall(r"`((?:core|store|front|supervisor|role|seal|audit|keys)\.[a-z_]+)`", text))
        self.assertTrue(named)
        self.assertEqual(named - events, set(), "no such event")
        told = set(re.findall(r'\bX\(\w+, *(\d{3}), *\w+, *"([^"]*)"\)', CODE[SRC / "include/holdfast/result.h"]))
        told |= {(status, text) for status, text in (
            ("503", text) for text in re.findall(r'X\(\w+, *(?:ROLE_DOWN|OVERLOADED|SHUTTING_DOWN|COMMIT_UNKNOWN),[^"]*"[^"]*", *"([^"]*)"',
                                                 CODE[SRC / "src/faces/reject.h"]))}
        answers = set(re.findall(r"\b([45]\d\d) `([^`]+)`", text))
        self.assertTrue(answers)
        self.assertEqual({a for a in answers if not any(a[0] == s and t.startswith(a[1]) for s, t in told)}, set(), "no such answer")

    def test_sources_name_every_standard_that_the_code_cites(self):
        text = (SRC / "docs/sources.md").read_text()
        cited = set()
        for code in [*CODE.values(), *(path.read_text() for path in TESTS.rglob("*.[ch]"))]:
            cited |= set(re.findall(r"@spec ([A-Za-z0-9-]+(?::[A-Za-z-]+)?)", code))
        self.assertGreater(len(cited), 5)
        for tag in cited:
            name = tag.removeprefix("C2SP:").split(":")[0]
            words = re.sub(r"^(RFC|FIPS)(\d+)$", r"\1 \2", name)
            self.assertIn(words, text, tag)


class Manual(unittest.TestCase):
    def manual(self, name):
        return (SRC / "docs/man" / name).read_text()

    def test_the_manual_names_every_command(self):
        text = self.manual("holdfast.1.scd")
        listed = subprocess.run([BIN / "holdfast", "help"], capture_output=True, text=True, check=True).stdout
        commands = re.findall(r"^  (\w[\w-]*(?: \w+)?)  ", listed.split("commands:")[1].split("\noptions")[0], re.M)
        self.assertGreater(len(commands), 30)
        for command in commands:
            first, _, second = command.partition(" ")
            self.assertIn(f"*{first}*", text)
            if second and f"*{first}* " in text:
                kinds = re.search(rf"\*{first}\* ([\w|-]+)", text)
                if kinds and "|" in kinds[1]:
                    self.assertIn(second, kinds[1].split("|"), command)
        for option in re.findall(r"^  (--[\w-]+)", listed, re.M):
            self.assertIn(f"*{option}*", text)

    def test_the_manual_names_every_option_of_the_server(self):
        text = self.manual("holdfastd.8.scd")
        told = subprocess.run([BIN / "holdfastd", "--help"], capture_output=True, text=True, check=True).stdout
        options = set(re.findall(r"--[a-z][\w-]+", told))
        self.assertGreater(len(options), 10)
        self.assertEqual({option for option in options if f"*{option}*" not in text}, set())

    def test_the_manual_names_every_key_of_the_configuration(self):
        text = self.manual("holdfast.hcl.5.scd")
        code = CODE[SRC / "src/roles/config.c"]
        keys = set(re.findall(r'^    \{"(\w+)", [A-Z_]+, IN\(', code, re.M))
        keys |= set(re.findall(r'hf_cursor_is\(name, "(\w+)"\)', code)) - {"listener", "storage", "seal", "limits"}
        self.assertGreater(len(keys), 20)
        self.assertEqual({key for key in keys if f"*{key}*" not in text}, set(), "not in holdfast.hcl(5)")
        named = set(re.findall(r"\*([a-z_]{3,})\*", text)) - {"holdfastd", "holdfast"}
        self.assertEqual(named - keys, set(), "in holdfast.hcl(5), and no key")


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_the_version_told_to_clients(self):
        for path in ("sys/seal-status", "sys/health"):
            version = tuple(int(part) for part in self.server.get(path).json["version"].split("-")[0].split("+")[0].split("."))
            self.assertGreaterEqual(version, (1, 19, 0))

    def test_a_development_server_says_so(self):
        for answer in (self.server.get("sys/health", token=""), self.server.get("sys/no-such", token=""), self.server.get("transit/keys/no-such"),
                       self.server.call("POST", "transit/hash", raw=b"{"), self.server.call("TRACE", "sys/health"), self.server.get("sys/metrics")):
            self.assertEqual(answer.headers["X-Holdfast-Level"], "dev")

    def test_default_key_types(self):
        for name, body, kind, algorithm in (("a", {}, "aes256-gcm96", "AES-256-GCM"), ("b", {"purpose": "signing"}, "hybrid", "ML-DSA-65+Ed25519"),
                                            ("c", {"purpose": "key-agreement"}, "x25519mlkem768", "X25519MLKEM768")):
            key = self.server.post(f"transit/keys/default-{name}", body).data
            self.assertEqual((key["type"], key["algorithm"]), (kind, algorithm))

    def test_metrics_are_prometheus_text(self):
        self.server.post("transit/random")
        answer = self.server.get("sys/metrics")
        self.assertTrue(answer.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        kinds, samples = {}, 0
        for line in answer.raw.decode().splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, kinds, "a metric is declared twice")
                kinds[name] = kind
            elif not line.startswith("#"):
                found = re.fullmatch(r'([a-z_]+)(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})? -?[0-9.e+-]+', line)
                self.assertTrue(found, line)
                base = re.sub(r"_(bucket|sum|count)$", "", found[1])
                self.assertIn(found[1] if found[1] in kinds else base, kinds, line)
                samples += 1
        self.assertGreater(samples, 50)
        self.assertIn("histogram", kinds.values())

    def test_posture_in_words(self):
        done = self.server.command("posture")
        for word in (b"supervisor", b"front", b"core", b"store", b"seccomp", b"secret_memory"):
            self.assertIn(word, done.stdout)

    def test_the_script_of_the_readme(self):
        try:
            import hvac  # noqa: F401
        except ImportError:
            lib.skip("python3-hvac is not installed")
        script = re.search(r"python3 -c '\n(.*?)'\n```", (SRC / "README.md").read_text(), re.S)[1]
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, env=self.server.env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout.startswith("vault:v1:"), done.stdout)

    def test_what_is_tried_while_sealed_is_told(self):
        with Server() as server:
            server.put("sys/seal")
            share = "A" * 44
            self.assertEqual(server.put("sys/unseal", {"key": share}, token="").status, 400)
            server.unseal()
            log = server.log_path.read_text()
            told = [line for line in log.splitlines() if '"core.while_sealed"' in line]
            self.assertIn('"result":"BAD_SHARE"', told[0])
            self.assertGreaterEqual(len(told), 2)
            for key in [share, *server.keys]:
                self.assertNotIn(key, log)
            last = server.get("audit/entries").data["entries"]
            self.assertIn("sys.unseal", [e["detail"]["operation"] for e in last if "detail" in e])


if __name__ == "__main__":
    unittest.main(verbosity=2)
