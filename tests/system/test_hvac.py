#!/usr/bin/env python3
"""hvac, a client written for Vault and unchanged, over transit, sys, tokens, policies, AppRole and cert login."""
import os
import subprocess
import tempfile
import unittest
import warnings
from pathlib import Path

try:
    import hvac
    from hvac import exceptions
except ImportError:
    import lib
    lib.skip("python3-hvac is not installed")

from lib import Server, b64, unb64

warnings.simplefilter("ignore")


class Hvac(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.client = cls.new_client(cls.server.token)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    @classmethod
    def new_client(cls, token=None, **more):
        return hvac.Client(url=cls.server.env["VAULT_ADDR"], token=token, verify=cls.server.env["VAULT_CACERT"], **more)

    # -- transit --
    def test_encrypt_rotate_decrypt_rewrap(self):
        transit = self.client.secrets.transit
        transit.create_key(name="orders")
        first = transit.encrypt_data(name="orders", plaintext=b64(b"card 4111"))["data"]["ciphertext"]
        self.assertTrue(first.startswith("vault:v1:"))
        transit.rotate_key(name="orders")
        key = transit.read_key(name="orders")["data"]
        self.assertEqual(key["latest_version"], 2)
        self.assertEqual(set(key["keys"]), {"1", "2"})
        self.assertEqual(key["type"], "aes256-gcm96")
        second = transit.encrypt_data(name="orders", plaintext=b64(b"card 4111"))["data"]["ciphertext"]
        self.assertTrue(second.startswith("vault:v2:"))
        for text in (first, second):
            self.assertEqual(unb64(transit.decrypt_data(name="orders", ciphertext=text)["data"]["plaintext"]), b"card 4111")
        again = transit.rewrap_data(name="orders", ciphertext=first)["data"]["ciphertext"]
        self.assertTrue(again.startswith("vault:v2:"))
        transit.update_key_configuration(name="orders", min_decryption_version=2)
        with self.assertRaises(exceptions.InvalidRequest):
            transit.decrypt_data(name="orders", ciphertext=first)
        self.assertIn("orders", transit.list_keys()["data"]["keys"])

    def test_batch(self):
        transit = self.client.secrets.transit
        transit.create_key(name="batch")
        items = [{"plaintext": b64(b"item %d" % i)} for i in range(1000)]
        sealed = transit.encrypt_data(name="batch", plaintext=None, batch_input=items)["data"]["batch_results"]
        self.assertEqual(len(sealed), 1000)
        opened = transit.decrypt_data(name="batch", ciphertext=None, batch_input=[{"ciphertext": r["ciphertext"]} for r in sealed])
        self.assertEqual([r["plaintext"] for r in opened["data"]["batch_results"]], [i["plaintext"] for i in items])

    def test_derived_and_convergent(self):
        transit = self.client.secrets.transit
        transit.create_key(name="conv", derived=True, convergent_encryption=True)
        context = b64(b"tenant one")
        a = transit.encrypt_data(name="conv", plaintext=b64(b"x"), context=context)["data"]["ciphertext"]
        b = transit.encrypt_data(name="conv", plaintext=b64(b"x"), context=context)["data"]["ciphertext"]
        c = transit.encrypt_data(name="conv", plaintext=b64(b"x"), context=b64(b"tenant two"))["data"]["ciphertext"]
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)
        with self.assertRaises(exceptions.InvalidRequest):
            transit.encrypt_data(name="conv", plaintext=b64(b"x"))

    def test_data_keys(self):
        transit = self.client.secrets.transit
        transit.create_key(name="dk")
        made = transit.generate_data_key(name="dk", key_type="plaintext", bits=256)["data"]
        opened = transit.decrypt_data(name="dk", ciphertext=made["ciphertext"])["data"]["plaintext"]
        self.assertEqual(opened, made["plaintext"])
        self.assertEqual(len(unb64(opened)), 32)
        wrapped = transit.generate_data_key(name="dk", key_type="wrapped")["data"]
        self.assertNotIn("plaintext", wrapped)

    def test_sign_and_verify(self):
        transit = self.client.secrets.transit
        for kind in ("ed25519", "ecdsa-p256", "ecdsa-p384", "rsa-2048"):
            transit.create_key(name=f"sign-{kind}", key_type=kind)
            signature = transit.sign_data(name=f"sign-{kind}", hash_input=b64(b"message"))["data"]["signature"]
            good = transit.verify_signed_data(name=f"sign-{kind}", hash_input=b64(b"message"), signature=signature)
            bad = transit.verify_signed_data(name=f"sign-{kind}", hash_input=b64(b"massage"), signature=signature)
            self.assertTrue(good["data"]["valid"], kind)
            self.assertFalse(bad["data"]["valid"], kind)

    def test_quantum_resilient_signatures(self):
        for body in ({"type": "ml-dsa", "parameter_set": "65"}, {"type": "hybrid"}):
            name = "pq-" + body["type"]
            self.client.write(f"transit/keys/{name}", **body)
            signature = self.client.write(f"transit/sign/{name}", input=b64(b"m"))["data"]["signature"]
            self.assertTrue(self.client.write(f"transit/verify/{name}", input=b64(b"m"), signature=signature)["data"]["valid"])
            self.assertFalse(self.client.write(f"transit/verify/{name}", input=b64(b"n"), signature=signature)["data"]["valid"])

    def test_hmac_hash_random(self):
        transit = self.client.secrets.transit
        transit.create_key(name="mac")
        mac = transit.generate_hmac(name="mac", hash_input=b64(b"m"))["data"]["hmac"]
        self.assertTrue(transit.verify_signed_data(name="mac", hash_input=b64(b"m"), hmac=mac)["data"]["valid"])
        digest = transit.hash_data(hash_input=b64(b"abc"), algorithm="sha2-256")["data"]["sum"]
        self.assertEqual(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        self.assertEqual(len(unb64(transit.generate_random_bytes(n_bytes=48)["data"]["random_bytes"])), 48)

    def test_export_backup_restore_trim_delete(self):
        transit = self.client.secrets.transit
        transit.create_key(name="moving", exportable=True, allow_plaintext_backup=True)
        sealed = transit.encrypt_data(name="moving", plaintext=b64(b"kept"))["data"]["ciphertext"]
        exported = transit.export_key(name="moving", key_type="encryption-key")["data"]["keys"]["1"]
        self.assertEqual(len(unb64(exported)), 32)
        backup = transit.backup_key(name="moving")["data"]["backup"]
        transit.restore_key(backup=backup, name="moved")
        self.assertEqual(unb64(transit.decrypt_data(name="moved", ciphertext=sealed)["data"]["plaintext"]), b"kept")
        with self.assertRaises(exceptions.InvalidRequest):
            transit.delete_key(name="moved")
        transit.update_key_configuration(name="moved", deletion_allowed=True)
        transit.delete_key(name="moved")
        with self.assertRaises(exceptions.InvalidPath):
            transit.read_key(name="moved")
        transit.rotate_key(name="moving")
        self.client.write("transit/keys/moving/config", min_decryption_version=2, min_encryption_version=2)
        transit.trim_key(name="moving", min_version=2)
        self.assertEqual(set(transit.read_key(name="moving")["data"]["keys"]), {"2"})

    # -- sys --
    def test_status(self):
        status = self.client.sys.read_seal_status()
        self.assertFalse(status["sealed"])
        self.assertTrue(self.client.sys.is_initialized())
        self.assertEqual((status["t"], status["n"]), (3, 5))
        self.assertGreaterEqual(tuple(int(x) for x in status["version"].split("+")[0].split(".")), (1, 19, 0))
        self.assertEqual(self.client.sys.read_health_status(method="GET")["sealed"], False)
        self.assertIn("transit/", self.client.sys.list_mounted_secrets_engines()["data"])

    def test_mounts(self):
        self.client.sys.enable_secrets_engine("transit", path="second")
        self.client.secrets.transit.create_key(name="k", mount_point="second")
        self.assertEqual(self.client.secrets.transit.list_keys(mount_point="second")["data"]["keys"], ["k"])
        self.client.sys.disable_secrets_engine("second")
        with self.assertRaises(exceptions.InvalidPath):
            self.client.secrets.transit.read_key(name="k", mount_point="second")

    # -- who may --
    def test_policies_and_tokens(self):
        self.client.secrets.transit.create_key(name="mine")
        self.client.secrets.transit.create_key(name="other")
        self.client.sys.create_or_update_policy("app", 'path "transit/encrypt/mine" { capabilities = ["update"] }')
        self.assertIn("app", self.client.sys.list_policies()["data"]["policies"])
        self.assertIn("transit/encrypt/mine", self.client.sys.read_policy("app")["data"]["rules"])
        made = self.client.auth.token.create(policies=["app"], ttl="1h")["auth"]
        self.assertEqual(sorted(made["policies"]), ["app", "default"])
        app = self.new_client(made["client_token"])
        app.secrets.transit.encrypt_data(name="mine", plaintext=b64(b"x"))
        for refused in (lambda: app.secrets.transit.encrypt_data(name="other", plaintext=b64(b"x")),
                        lambda: app.secrets.transit.decrypt_data(name="mine", ciphertext="vault:v1:AAAA"),
                        lambda: app.secrets.transit.encrypt_data(name="no-such-key", plaintext=b64(b"x"))):
            with self.assertRaises(exceptions.Forbidden):
                refused()
        self.assertEqual(app.auth.token.lookup_self()["data"]["policies"], ["app", "default"])
        app.auth.token.renew_self()
        self.client.auth.token.revoke(made["client_token"])
        with self.assertRaises(exceptions.Forbidden):
            app.secrets.transit.encrypt_data(name="mine", plaintext=b64(b"x"))

    def test_approle(self):
        self.client.sys.enable_auth_method("approle")
        self.client.sys.create_or_update_policy("robot", 'path "transit/*" { capabilities = ["create", "read", "update"] }')
        role = self.client.auth.approle
        role.create_or_update_approle("robot", token_policies=["robot"], token_ttl="10m")
        role_id = role.read_role_id("robot")["data"]["role_id"]
        secret_id = role.generate_secret_id("robot")["data"]["secret_id"]
        client = self.new_client()
        login = client.auth.approle.login(role_id=role_id, secret_id=secret_id)
        self.assertIn("robot", login["auth"]["policies"])
        client.secrets.transit.create_key(name="robots")
        with self.assertRaises(exceptions.InvalidRequest):
            self.new_client().auth.approle.login(role_id=role_id, secret_id="wrong")

    def test_cert_login(self):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = Path(folder) / "c.pem", Path(folder) / "k.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                            "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=robot",
                            "-addext", "extendedKeyUsage=clientAuth"], check=True, capture_output=True)
            self.client.sys.enable_auth_method("cert")
            self.client.write("auth/cert/certs/robot", certificate=cert.read_text(), token_policies="default")
            client = self.new_client(cert=(str(cert), str(key)))
            login = client.auth.cert.login(cert_pem=str(cert), key_pem=str(key)) \
                if hasattr(client.auth.cert, "login") else client.auth_tls()
            self.assertIn("default", login["auth"]["policies"])
            with self.assertRaises((exceptions.InvalidRequest, exceptions.Forbidden)):
                self.new_client().post("/v1/auth/cert/login") if hasattr(hvac.Client, "post") \
                    else self.new_client().adapter.post("/v1/auth/cert/login")

    def test_seal_and_unseal(self):
        with Server() as server:
            client = hvac.Client(url=server.env["VAULT_ADDR"], token=server.token, verify=server.env["VAULT_CACERT"])
            client.secrets.transit.create_key(name="k")
            sealed = client.secrets.transit.encrypt_data(name="k", plaintext=b64(b"x"))["data"]["ciphertext"]
            client.sys.seal()
            self.assertTrue(client.sys.is_sealed())
            with self.assertRaises(exceptions.VaultDown):
                client.secrets.transit.decrypt_data(name="k", ciphertext=sealed)
            client.sys.submit_unseal_keys(server.keys[1:4])
            self.assertFalse(client.sys.is_sealed())
            self.assertEqual(client.secrets.transit.decrypt_data(name="k", ciphertext=sealed)["data"]["plaintext"], b64(b"x"))

    def test_rekey_and_generate_root(self):
        with Server("--dev-uninit") as server:
            client = hvac.Client(url=server.env["VAULT_ADDR"], verify=server.env["VAULT_CACERT"])
            self.assertFalse(client.sys.is_initialized())
            made = client.sys.initialize(secret_shares=3, secret_threshold=2)
            client.token = made["root_token"]
            client.sys.submit_unseal_keys(made["keys"][:2])
            started = client.sys.start_rekey(secret_shares=2, secret_threshold=2)
            done = client.sys.rekey_multi(made["keys"][1:], nonce=started["nonce"])
            self.assertEqual(len(done["keys"]), 2)
            client.sys.seal()
            with self.assertRaises(exceptions.InvalidRequest):
                client.sys.submit_unseal_key(made["keys"][0])
            client.sys.submit_unseal_keys(done["keys"])
            self.assertFalse(client.sys.is_sealed())


if __name__ == "__main__":
    unittest.main(verbosity=2)
