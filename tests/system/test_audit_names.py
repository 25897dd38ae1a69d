#!/usr/bin/env python3
"""Every management operation stands in the audit log under its own name, once: done as well as refused."""
import subprocess
import sys

from lib import Server, b64
from test_clients import openssl

POLICY = {"policy": 'path "kv2/*" { capabilities = ["read"] }'}


class Steps:
    """Does each operation twice: with a token that may nothing, and as it should be. Remembers what must be in the log."""

    def __init__(self, server):
        self.server, self.expected = server, []
        self.nobody = server.post("auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]

    def do(self, name, method, path, body=None, token=None, stranger=None, headers=None):
        denied = self.server.call(method, path, body, token=stranger or self.nobody, headers=headers)
        assert denied.status == 403, (name, denied.status, denied.raw)
        self.expected.append((name, False))
        answer = self.server.call(method, path, body, token=token, headers=headers)
        assert 200 <= answer.status < 300, (name, answer.status, answer.raw)
        self.expected.append((name, True))
        return answer

    def log_in(self, name, path, wrong, right):
        answer = self.server.post(path, wrong, token="")
        assert answer.status >= 400, (name, answer.raw)
        self.expected.append((name, False))
        if right is None:
            return None
        answer = self.server.post(path, right, token="")
        assert answer.status == 200, (name, answer.raw)
        self.expected.append((name, True))
        return answer


def entries(server, begin):
    found = []
    while True:
        page = server.get(f"audit/entries?from={begin + len(found)}&limit=100").data["entries"]
        found += page
        if len(page) < 100:
            return found


def mounts_and_namespaces(s):
    s.do("sys.mounts.write", "POST", "sys/mounts/kv2", {"type": "kv", "options": {"version": "2"}})
    s.do("sys.mounts.write", "POST", "sys/mounts/kv1", {"type": "kv", "options": {"version": "1"}})
    s.do("sys.mounts.write", "POST", "sys/mounts/keys", {"type": "transit"})
    s.do("sys.mounts.write", "POST", "sys/mounts/away", {"type": "kv", "options": {"version": "1"}})
    s.do("sys.mounts.delete", "DELETE", "sys/mounts/away")
    s.do("sys.auth.write", "POST", "sys/auth/approle", {"type": "approle"})
    s.do("sys.auth.write", "POST", "sys/auth/cert", {"type": "cert"})
    s.do("sys.auth.write", "POST", "sys/auth/away", {"type": "approle"})
    s.do("sys.auth.delete", "DELETE", "sys/auth/away")
    s.do("sys.namespaces.create", "POST", "sys/namespaces/team")
    inside = {"X-Vault-Namespace": "team"}
    s.do("sys.policies.write", "PUT", "sys/policies/acl/inside", POLICY, headers=inside)
    s.do("sys.policies.delete", "DELETE", "sys/policies/acl/inside", headers=inside)
    s.do("sys.namespaces.delete", "DELETE", "sys/namespaces/team")
    s.do("sys.rotate", "PUT", "sys/rotate")


def policies(s):
    s.do("sys.policies.write", "PUT", "sys/policies/acl/p", POLICY)
    s.do("sys.policies.delete", "DELETE", "sys/policies/acl/p")
    s.do("sys.policy.write", "PUT", "sys/policy/p", POLICY)
    s.do("sys.policy.delete", "DELETE", "sys/policy/p")


def kv(s):
    for i in range(2):
        s.do("kv.data-write", "POST", "kv2/data/a/b", {"data": {"n": i}})
    s.do("kv.data-patch", "PATCH", "kv2/data/a/b", {"data": {"m": 1}}, headers={"Content-Type": "application/merge-patch+json"})
    s.do("kv.data-delete", "DELETE", "kv2/data/a/b")
    s.do("kv.delete", "POST", "kv2/delete/a/b", {"versions": [1]})
    s.do("kv.undelete", "POST", "kv2/undelete/a/b", {"versions": [1]})
    s.do("kv.destroy", "POST", "kv2/destroy/a/b", {"versions": [1]})
    s.do("kv.metadata-write", "POST", "kv2/metadata/a/b", {"max_versions": 5})
    s.do("kv.metadata-delete", "DELETE", "kv2/metadata/a/b")
    s.do("kv.config-write", "POST", "kv2/config", {"max_versions": 7})
    s.do("kv.v1-write", "POST", "kv1/a", {"n": 1})
    s.do("kv.v1-delete", "DELETE", "kv1/a")


def keys(s):
    s.do("transit.key-create", "POST", "keys/keys/k", {"exportable": True, "allow_plaintext_backup": True})
    s.do("transit.key-rotate", "POST", "keys/keys/k/rotate")
    s.do("transit.key-config", "POST", "keys/keys/k/config", {"deletion_allowed": True, "min_decryption_version": 2,
                                                              "min_encryption_version": 2})
    s.do("transit.version-state", "POST", "keys/keys/k/versions/1/suspend")
    s.do("transit.key-trim", "POST", "keys/keys/k/trim", {"min_available_version": 2})
    s.do("transit.export", "GET", "keys/export/encryption-key/k")
    s.do("transit.export-version", "GET", "keys/export/encryption-key/k/2")
    backup = s.do("transit.backup", "GET", "keys/backup/k").data["backup"]
    s.do("transit.key-delete", "DELETE", "keys/keys/k")
    s.do("transit.restore", "POST", "keys/restore", {"backup": backup})
    s.do("transit.restore-name", "POST", "keys/restore/other", {"backup": backup})


def tokens(s):
    made = s.do("token.create", "POST", "auth/token/create", {"policies": ["default"]}).json["auth"]
    token, accessor = made["client_token"], made["accessor"]
    s.do("token.create-orphan", "POST", "auth/token/create-orphan", {"policies": ["default"]})
    s.do("token.roles.write", "POST", "auth/token/roles/r", {"allowed_policies": "default"})
    s.do("token.create-role", "POST", "auth/token/create/r", {})
    s.do("token.renew", "POST", "auth/token/renew", {"token": token})
    s.do("token.renew-accessor", "POST", "auth/token/renew-accessor", {"accessor": accessor})
    s.do("token.renew-self", "POST", "auth/token/renew-self", {}, token=token, stranger="hvs.nobody")
    s.do("token.revoke-self", "POST", "auth/token/revoke-self", {}, token=token, stranger="hvs.nobody")
    for name, path, what in (("token.revoke", "revoke", "token"), ("token.revoke-orphan", "revoke-orphan", "token"),
                             ("token.revoke-accessor", "revoke-accessor", "accessor")):
        made = s.do("token.create", "POST", "auth/token/create", {"policies": ["default"]}).json["auth"]
        s.do(name, "POST", f"auth/token/{path}", {what: made["client_token" if what == "token" else what]})
    s.do("token.roles.delete", "DELETE", "auth/token/roles/r")
    s.do("token.tidy", "POST", "auth/token/tidy", {})


def approle(s):
    s.do("approle.write", "POST", "auth/approle/role/web", {"token_policies": "default"})
    s.do("approle.role-id.write", "POST", "auth/approle/role/web/role-id", {"role_id": "web-id"})
    made = s.do("approle.secret-id.make", "POST", "auth/approle/role/web/secret-id", {}).data
    s.do("approle.secret-id.custom", "POST", "auth/approle/role/web/custom-secret-id", {"secret_id": "chosen"})
    s.log_in("approle.login", "auth/approle/login", {"role_id": "web-id", "secret_id": "wrong"},
             {"role_id": "web-id", "secret_id": made["secret_id"]})
    s.do("approle.secret-id.destroy", "POST", "auth/approle/role/web/secret-id/destroy", {"secret_id": made["secret_id"]})
    made = s.do("approle.secret-id.make", "POST", "auth/approle/role/web/secret-id", {}).data
    s.do("approle.accessor.destroy", "POST", "auth/approle/role/web/secret-id-accessor/destroy",
         {"secret_id_accessor": made["secret_id_accessor"]})
    made = s.do("approle.secret-id.make", "POST", "auth/approle/role/web/secret-id", {}).data
    s.do("approle.secret-id.delete", "DELETE", "auth/approle/role/web/secret-id/destroy", {"secret_id": made["secret_id"]})
    made = s.do("approle.secret-id.make", "POST", "auth/approle/role/web/secret-id", {}).data
    s.do("approle.accessor.delete", "DELETE", "auth/approle/role/web/secret-id-accessor/destroy",
         {"secret_id_accessor": made["secret_id_accessor"]})
    s.do("approle.field.write", "POST", "auth/approle/role/web/token-ttl", {"token_ttl": 60})
    s.do("approle.field.delete", "DELETE", "auth/approle/role/web/token-ttl")
    s.do("approle.tidy", "POST", "auth/approle/tidy/secret-id", {})
    s.do("approle.delete", "DELETE", "auth/approle/role/web")


def cert(s):
    path, key = s.server.dir / "robot.crt", s.server.dir / "robot.key"
    subprocess.run([openssl(), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                    "-out", path, "-days", "2", "-subj", "/CN=robot", "-addext", "extendedKeyUsage=clientAuth"], check=True,
                   capture_output=True)
    s.do("cert.write", "POST", "auth/cert/certs/robot", {"certificate": path.read_text(), "token_policies": "default"})
    s.log_in("cert.login", "auth/cert/login", {}, None)
    s.do("cert.delete", "DELETE", "auth/cert/certs/robot")


def main():
    with Server() as server:
        steps = Steps(server)
        server.get("audit/checkpoint?fresh=true")
        begin = len(entries(server, 0))
        for part in (mounts_and_namespaces, policies, kv, keys, tokens, approle, cert):
            part(steps)
        # What is asked of a name that nobody serves is logged too, and is no management operation.
        assert server.post("nothing/here", {}).status in (403, 404)
        names = {name for name, _ in steps.expected}
        # What does not pass through the records says before it that it begins, and after it how it ended.
        found = [(e["detail"]["operation"], e["detail"]["outcome"], e["detail"].get("mount", "")) for e in entries(server, begin)
                 if e["detail"].get("note") != "begun"]
        unserved = [f for f in found if f[0] == "none"]
        assert len(unserved) == 1 and unserved[0][1] != "OK", unserved
        logged = [(name, outcome == "OK") for name, outcome, _ in found if name in names]
        for i, (want, have) in enumerate(zip(steps.expected, logged)):
            assert want == have, f"operation {i}: done was {want}, the log says {have}; before it {logged[max(0, i - 3):i]}"
        assert len(logged) == len(steps.expected), (len(logged), len(steps.expected))
        others = {f[0] for f in found} - names - {"none", "audit.entries", "audit.checkpoint"}
        assert not others, others
        assert all(outcome == "DENIED" for name, outcome, _ in found if name in names - {"approle.login", "cert.login"} and
                   outcome != "OK"), [f for f in found if f[1] not in ("OK", "DENIED")]
        print(f"{len(names)} operations, {len(logged)} entries, each under its own name")


if __name__ == "__main__":
    main()
    sys.exit(0)
