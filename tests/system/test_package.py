#!/usr/bin/env python3
"""What is installed: the Debian package is built, installed, run, removed and purged as dpkg does it, on a copy of this system
that is gone afterwards; `make install DESTDIR=`; the unit. One release build serves both."""
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from lib import SRC

BUILD = Path(os.environ.get("HF_BUILD", SRC / "build" / "dev"))
RELEASE = BUILD / "release"
INSTALLED = ["usr/bin/holdfast", "usr/bin/holdfastd", "usr/lib/systemd/system/holdfastd.service",
             "usr/share/bash-completion/completions/holdfast", "usr/share/fish/vendor_completions.d/holdfast.fish"]
PAGES = ["man1/holdfast.1", "man5/holdfast.hcl.5", "man8/holdfastd.8"]

# In a copy of the root whose changes lie in memory, with a network of its own, every step as its administrator does it.
ADMINISTRATOR = r"""
set -eu
deb=$1 cert=$2 key=$3
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t tmpfs none /run
ip link set lo up
dpkg --force-confnew -i "$deb" >/run/dpkg 2>&1 || { cat /run/dpkg; exit 1; }
echo "status $(dpkg-query -W -f '${db:Status-Status}' holdfast)"
echo "user $(id -un holdfast) $(id -gn holdfast)"
echo "etc $(stat -c '%U:%G %a' /etc/holdfast)"
dpkg -V holdfast
holdfastd --version >/dev/null
echo "check $(holdfastd --check)"
if command -v systemd-analyze >/dev/null; then
    systemd-analyze verify --man=no holdfastd.service 2>&1 | grep -i holdfast | sed 's/^/unit /' || true
fi

install -d -m 750 -g holdfast /etc/holdfast/tls
install -m 640 -g holdfast "$cert" /etc/holdfast/tls/server.crt
install -m 640 -g holdfast "$key" /etc/holdfast/tls/server.key
install -d -m 700 -o holdfast -g holdfast /var/lib/holdfast /run/holdfast
setpriv --reuid holdfast --regid holdfast --init-groups holdfastd >/run/log 2>&1 &
server=$!
export VAULT_ADDR=https://127.0.0.1:8200 VAULT_CACERT=/etc/holdfast/tls/server.crt
for try in $(seq 300); do
    holdfast -o json status >/run/status 2>/run/error && break || [ $? -le 2 ] && [ -s /run/status ] && break
    sleep 0.1
done
[ -s /run/status ] || { cat /run/log /run/error; exit 1; }
echo "answer $(tr -d '\n' </run/status)"
kill $server
wait $server && echo "stopped 0" || { echo "stopped $?"; cat /run/log; }
ls /var/lib/holdfast | sed 's/^/state /'

echo "# mine" >>/etc/holdfast/holdfast.hcl
dpkg -r holdfast >/run/dpkg 2>&1 || { cat /run/dpkg; exit 1; }
echo "removed $([ -e /usr/bin/holdfastd ] || echo gone) $(tail -n 1 /etc/holdfast/holdfast.hcl)"
dpkg -P holdfast >/run/dpkg 2>&1 || { cat /run/dpkg; exit 1; }
echo "purged $([ -e /etc/holdfast/holdfast.hcl ] || echo gone) $(grep -c 'is kept' /run/dpkg) $([ -d /var/lib/holdfast ] && echo kept)"
"""


def make(*words):
    done = subprocess.run(["make", "--no-print-directory", "-C", str(SRC), *words, f"RELEASE={RELEASE}"], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "PACKAGE": str(BUILD / "package")})
    if done.returncode != 0:
        raise AssertionError(f"make {' '.join(words)}: {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


def unit_settings(text):
    """{section: [(name, value)]} of a unit file; ValueError where a line is neither."""
    sections, section = {}, None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line[0] in "#;":
            continue
        if re.fullmatch(r"\[[A-Z][a-z]+\]", line):
            section = sections.setdefault(line[1:-1], [])
            continue
        found = re.fullmatch(r"([A-Z][A-Za-z0-9]+)=(.*)", line)
        if section is None or not found:
            raise ValueError(f"line {number}: {line}")
        section.append(found.groups())
    return sections


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.said = make("package")
        cls.deb = SRC / cls.said.splitlines()[-1]
        cls.scratch = Path(tempfile.mkdtemp(prefix="hf-test-"))
        cls.tree = cls.scratch / "tree"
        subprocess.run(["dpkg-deb", "-x", cls.deb, cls.tree], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch, ignore_errors=True)

    def field(self, name):
        return subprocess.run(["dpkg-deb", "-f", self.deb, name], capture_output=True, text=True, check=True).stdout.strip()

    def test_what_is_in_it(self):
        self.assertTrue(self.deb.is_file(), self.said)
        self.assertEqual(self.field("Package"), "holdfast")
        for library in ("libc6", "libsqlite3-0", "libseccomp2", "libnghttp2-14"):
            self.assertIn(library, self.field("Depends"))
        names = subprocess.run(["dpkg-deb", "-c", self.deb], capture_output=True, text=True, check=True).stdout
        for line in names.splitlines():
            self.assertRegex(line, r"^[-d]r[-w]xr-xr-x root/root |^-rw-r--r-- root/root ", line)
        there = {str(path.relative_to(self.tree)) for path in self.tree.rglob("*") if path.is_file()}
        for name in (*INSTALLED, *(f"usr/share/man/{page}.gz" for page in PAGES), "etc/holdfast/holdfast.hcl"):
            self.assertIn(name.replace("usr/lib/systemd", self.systemd(there)), there)
        for program in ("holdfast", "holdfastd"):
            data = (self.tree / "usr/bin" / program).read_bytes()
            self.assertNotIn(str(SRC).encode() + b"/", data, f"{program} names the directory it was built in")
            self.assertNotIn(b"hf_fault_", data, f"{program} carries what only tests need")

    @staticmethod
    def systemd(names):
        """Where units lie: under /usr since Debian 13, and both are one place."""
        return "usr/lib/systemd" if any(name.startswith("usr/lib/systemd") for name in names) else "lib/systemd"

    def test_unit(self):
        text = next(self.tree.rglob("holdfastd.service")).read_text()
        unit = unit_settings(text)
        self.assertEqual(set(unit), {"Unit", "Service", "Install"})
        service = dict(unit["Service"])
        program = shlex.split(service["ExecStart"])[0]
        self.assertTrue((self.tree / program.lstrip("/")).is_file(), program)
        for name, value in (("Type", "notify"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("LimitCORE", "0"),
                            ("LimitMEMLOCK", "infinity"), ("MemoryDenyWriteExecute", "yes"), ("User", "holdfast")):
            self.assertEqual(service[name], value, name)
        for name, _ in unit["Service"]:
            self.assertIn(name, KNOWN, f"no such setting of a service: {name}")

    def test_installed_run_removed(self):
        key, cert = self.scratch / "key.pem", self.scratch / "cert.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                        key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        if not self.can_layer():
            return self.unpacked()
        area = self.scratch / "layers"
        area.mkdir()
        script = (f'set -e; mount --make-rprivate /; mount -t tmpfs none "$1"; cd "$1"; mkdir up work root\n'
                  f'mount -t overlay overlay -o lowerdir=/,upperdir="$1/up",workdir="$1/work" root\n'
                  f'mkdir -p root/mnt; cp "$2" root/mnt/holdfast.deb; cp "$3" root/mnt/cert; cp "$4" root/mnt/key\n'
                  f'for d in proc dev sys; do mount --rbind /$d root/$d; done; mount -t tmpfs none root/tmp\n'
                  f'exec chroot root sh -c "$5" sh /mnt/holdfast.deb /mnt/cert /mnt/key')
        done = subprocess.run(["unshare", "-m", "-n", "sh", "-c", script, "sh", area, self.deb, cert, key, ADMINISTRATOR],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=120, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        self.assertEqual(done.returncode, 0, done.stdout)
        told = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
        self.assertEqual(told["status"], "installed", done.stdout)
        self.assertEqual(told["user"], "holdfast holdfast")
        self.assertEqual(told["etc"], "root:holdfast 750")
        self.assertEqual(told["check"], "/etc/holdfast/holdfast.hcl: right")
        self.assertNotIn("unit", told, done.stdout)
        self.assertFalse(json.loads(told["answer"])["initialized"], done.stdout)
        self.assertEqual(told["stopped"], "0", done.stdout)
        self.assertIn("state holdfast.db", done.stdout)
        self.assertEqual(told["removed"], "gone # mine")
        self.assertEqual(told["purged"], "gone 1 kept")

    def can_layer(self):
        probe = 'mount --make-rprivate /; mount -t tmpfs none "$1"; cd "$1"; mkdir u w m; ' \
                'mount -t overlay overlay -o lowerdir=/,upperdir="$1/u",workdir="$1/w" m'
        where = self.scratch / "probe"
        where.mkdir()
        return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "-n", "sh", "-ec", probe, "sh", where],
                                                    capture_output=True).returncode == 0

    def unpacked(self):
        """Where no layer can be laid over this system: dpkg into a folder, without the maintainer's scripts."""
        root = self.scratch / "root"
        for name in ("var/lib/dpkg/updates", "var/lib/dpkg/info"):
            (root / name).mkdir(parents=True)
        for name in ("status", "available"):
            (root / "var/lib/dpkg" / name).touch()
        subprocess.run(["fakeroot", "dpkg", f"--root={root}", "--log=/dev/null", "--force-depends", "--unpack", self.deb],
                       check=True, capture_output=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        done = subprocess.run([root / "usr/bin/holdfastd", "--check", next(root.glob("etc/holdfast/holdfast.hcl*"))],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        subprocess.run(["fakeroot", "dpkg", f"--root={root}", "--log=/dev/null", "--force-script-chrootless", "-r", "holdfast"],
                       capture_output=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        for name in ("postinst", "prerm", "postrm"):
            self.assertEqual(subprocess.run(["sh", "-n", SRC / "packaging/deb" / name]).returncode, 0)


class Install(unittest.TestCase):
    def test_destdir(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make("install", f"DESTDIR={root}")
            local = root / "usr/local"
            for name in ("bin/holdfast", "bin/holdfastd", "lib/systemd/system/holdfastd.service",
                         *(f"share/man/{page}" for page in PAGES)):
                self.assertTrue((local / name).is_file(), name)
            self.assertIn("ExecStart=/usr/local/bin/holdfastd ", (local / INSTALLED[2].removeprefix("usr/")).read_text())
            version = subprocess.run([local / "bin/holdfastd", "--version"], capture_output=True, text=True)
            self.assertRegex(version.stdout, r"^holdfastd \d")
            config = root / "etc/holdfast/holdfast.hcl"
            self.assertEqual(subprocess.run([local / "bin/holdfastd", "--check", config]).returncode, 0)
            # installed again, an administrator's configuration stays
            config.write_text("# mine\n")
            make("install", f"DESTDIR={root}")
            self.assertEqual(config.read_text(), "# mine\n")
            stray = {path.relative_to(root).parts[0] for path in root.rglob("*")} - {"usr", "etc"}
            self.assertEqual(stray, set())


# systemd.exec(5), systemd.service(5), systemd.kill(5), systemd.resource-control(5): those that may stand in our unit.
KNOWN = set("""
    Type NotifyAccess ExecStart ExecReload KillMode TimeoutStopSec Restart RestartSec WatchdogSec User Group UMask
    StateDirectory StateDirectoryMode RuntimeDirectory RuntimeDirectoryMode LimitMEMLOCK LimitCORE LimitNOFILE LimitNPROC
    MemorySwapMax NoNewPrivileges CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome ProtectProc ProcSubset
    PrivateTmp PrivateDevices PrivateUsers ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs
    ProtectKernelModules ProtectKernelTunables LockPersonality MemoryDenyWriteExecute RemoveIPC RestrictAddressFamilies
    RestrictNamespaces RestrictRealtime RestrictSUIDSGID KeyringMode SystemCallArchitectures SystemCallFilter
    SystemCallErrorNumber Delegate OOMScoreAdjust TasksMax DeviceAllow""".split())


if __name__ == "__main__":
    unittest.main(verbosity=2)
