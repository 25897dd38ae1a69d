#!/usr/bin/env python3
"""Who may, against the whole server: one path for policy and routing, long policies, many mounts, namespaces."""
import unittest

from lib import Server, b64

ALL = '"create", "read", "update", "delete", "list", "sudo"'


class Access(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.server.post("transit/keys/xk", {"exportable": True})

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def token(self, policy, name="app", headers=None):
        written = self.server.put(f"sys/policies/acl/{name}", {"policy": policy}, headers=headers)
        self.assertEqual(written.status, 204, written.raw)
        made = self.server.post("auth/token/create", {"policies": [name], "no_default_policy": True}, headers=headers)
        self.assertEqual(made.status, 200, made.raw)
        return made.json["auth"]["client_token"]

    def test_a_slash_at_the_end_goes_around_nothing(self):
        denied = ["transit/export/encryption-key/xk", "transit/keys/xk", "transit/keys/xk/config", "transit/keys/+/rotate",
                  "auth/token/create", "sys/policies/acl/*", "transit/decrypt/xk"]
        rules = "\n".join(f'path "{p}" {{ capabilities = ["deny"] }}' for p in denied)
        token = self.token(f'path "*" {{ capabilities = [{ALL}] }}\n{rules}')
        for method, path in (("GET", "transit/export/encryption-key/xk"), ("GET", "transit/keys/xk"), ("DELETE", "transit/keys/xk"),
                             ("POST", "transit/keys/xk/config"), ("POST", "transit/keys/xk/rotate"), ("POST", "auth/token/create"),
                             ("GET", "sys/policies/acl/app"), ("POST", "transit/decrypt/xk")):
            for end in ("", "/", "%2f"):
                body = {} if method == "POST" else None
                answer = self.server.call(method, path + end, body, token=token)
                self.assertIn(answer.status, (400, 403, 404), f"{method} {path}{end}: {answer.raw[:200]}")
                self.assertNotIn(b'"data"', answer.raw)
        self.assertEqual(self.server.get("transit/keys/xk").status, 200)

    def test_deny_stands_above_a_glob_for_lists_too(self):
        token = self.token(f'path "transit/*" {{ capabilities = [{ALL}] }}\npath "transit/+" {{ capabilities = ["deny"] }}', "lists")
        self.assertEqual(self.server.call("LIST", "transit/keys", token=token).status, 403)
        self.assertEqual(self.server.call("LIST", "transit/keys/", token=token).status, 403)
        folder = self.token('path "transit/keys/*" { capabilities = ["list"] }', "folder")
        self.assertEqual(self.server.call("LIST", "transit/keys", token=folder).status, 200)

    def test_long_policies_and_many_mounts(self):
        rules = "\n".join(f'path "kv{i}/+/a{i}/*" {{ capabilities = ["read"] }}\npath "exact/{i}" {{ capabilities = ["read"] }}'
                          for i in range(600))
        token = self.token(rules + '\npath "transit/encrypt/xk" { capabilities = ["update"] }', "long")
        for _ in range(3):
            self.assertEqual(self.server.post("transit/encrypt/xk", {"plaintext": b64(b"x")}, token=token).status, 200)
        for i in range(60):
            self.assertEqual(self.server.post(f"sys/mounts/many{i}", {"type": "transit"}).status, 204)
        many = [f"p{i}" for i in range(60)]
        for name in many:
            self.server.put(f"sys/policies/acl/{name}", {"policy": 'path "transit/encrypt/xk" { capabilities = ["update"] }'})
        token = self.server.post("auth/token/create", {"policies": many}).json["auth"]["client_token"]
        self.assertEqual(self.server.post("transit/encrypt/xk", {"plaintext": b64(b"x")}, token=token).status, 200)
        self.assertNotIn('"signal":"SYS"', self.server.log_path.read_text())

    def test_a_namespace_is_not_the_server(self):
        self.assertIn(self.server.post("sys/namespaces/n1").status, (200, 204))
        inside = {"X-Vault-Namespace": "n1"}
        token = self.token(f'path "*" {{ capabilities = [{ALL}] }}', "all", headers=inside)
        for method, path in (("PUT", "sys/seal"), ("GET", "audit/entries"), ("GET", "audit/export"), ("GET", "sys/posture"),
                             ("GET", "sys/metrics"), ("POST", "sys/audit-hash/x"), ("GET", "audit/checkpoint")):
            answer = self.server.call(method, path, {} if method != "GET" else None, token=token, headers=inside)
            self.assertIn(answer.status, (400, 403), f"{path}: {answer.raw[:200]}")
            answer = self.server.call(method, path, {} if method != "GET" else None, token=token)
            self.assertEqual(answer.status, 403, f"{path}: {answer.raw[:200]}")
        self.assertFalse(self.server.get("sys/seal-status", token="").json["sealed"])
        self.assertEqual(self.server.post("sys/mounts/transit", {"type": "transit"}, token=token, headers=inside).status, 204)
        self.assertEqual(self.server.post("transit/keys/k", {}, token=token, headers=inside).status, 200)

    def test_wrapping_is_refused_and_not_forgotten(self):
        answer = self.server.get("transit/export/encryption-key/xk", headers={"X-Vault-Wrap-TTL": "60"})
        self.assertEqual(answer.status, 400)
        self.assertNotIn(b'"data"', answer.raw)


if __name__ == "__main__":
    unittest.main(verbosity=2)
