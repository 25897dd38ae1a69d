#!/usr/bin/env python3
"""What the server makes, another implementation opens, and the other way about: python3-cryptography as the peer."""
import base64
import hashlib
import hmac
import os
import unittest

import lib

try:
    from cryptography.hazmat.primitives import hashes, keywrap, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError:
    lib.skip("python3-cryptography is not installed")

from lib import Server, b64, unb64

TEXT = b"opened by somebody else"


def payload(text, version=1):
    prefix = f"vault:v{version}:"
    assert text.startswith(prefix), text
    return unb64(text[len(prefix):])


def hkdf(key, context, length):
    return HKDF(hashes.SHA256(), length, None, context).derive(key)


def xaes_key(key, nonce):
    """C2SP XAES-256-GCM: the key of AES-256-GCM for this nonce."""
    def block(data):
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
        return encryptor.update(data) + encryptor.finalize()
    whole = int.from_bytes(block(bytes(16)), "big") << 1
    if whole >> 128:
        whole = (whole & (1 << 128) - 1) ^ 0x87
    k1 = whole.to_bytes(16, "big")
    mask = lambda data: bytes(a ^ b for a, b in zip(data, k1))
    return b"".join(block(mask(bytes([0, i]) + b"X\0" + nonce[:12])) for i in (1, 2))


class Independent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def ok(self, answer):
        self.assertIn(answer.status, (200, 204), answer.raw)
        return answer.json.get("data", {})

    def create(self, name, **fields):
        return self.ok(self.server.post(f"transit/keys/{name}", {"exportable": True, **fields}))

    def exported(self, kind, name):
        return self.ok(self.server.get(f"transit/export/{kind}/{name}"))["keys"]["1"]

    def encrypt(self, name, **fields):
        return self.ok(self.server.post(f"transit/encrypt/{name}", {"plaintext": b64(TEXT), **fields}))["ciphertext"]

    def decrypt(self, name, ciphertext, **fields):
        return unb64(self.ok(self.server.post(f"transit/decrypt/{name}", {"ciphertext": ciphertext, **fields}))["plaintext"])

    def test_symmetric_keys(self):
        for kind, cipher in (("aes128-gcm96", AESGCM), ("aes256-gcm96", AESGCM), ("chacha20-poly1305", ChaCha20Poly1305)):
            self.create(kind, type=kind)
            key = unb64(self.exported("encryption-key", kind))
            data = payload(self.encrypt(kind, associated_data=b64(b"beside")))
            self.assertEqual(cipher(key).decrypt(data[:12], data[12:], b"beside"), TEXT)
            nonce = os.urandom(12)
            theirs = "vault:v1:" + b64(nonce + cipher(key).encrypt(nonce, TEXT, b"beside"))
            self.assertEqual(self.decrypt(kind, theirs, associated_data=b64(b"beside")), TEXT)

    def test_xaes(self):
        self.create("xaes", type="xaes256-gcm")
        key = unb64(self.exported("encryption-key", "xaes"))
        data = payload(self.encrypt("xaes"))
        self.assertEqual(AESGCM(xaes_key(key, data[:24])).decrypt(data[12:24], data[24:], b""), TEXT)
        nonce = os.urandom(24)
        theirs = nonce + AESGCM(xaes_key(key, nonce)).encrypt(nonce[12:], TEXT, b"")
        self.assertEqual(self.decrypt("xaes", "vault:v1:" + b64(theirs)), TEXT)

    def test_derived_and_convergent(self):
        context = b"customer 7"
        self.create("derived", derived=True)
        key = hkdf(unb64(self.exported("encryption-key", "derived")), context, 32)
        data = payload(self.encrypt("derived", context=b64(context)))
        self.assertEqual(AESGCM(key).decrypt(data[:12], data[12:], b""), TEXT)
        self.create("convergent", derived=True, convergent_encryption=True)
        stream = hkdf(unb64(self.exported("encryption-key", "convergent")), context, 64)
        nonce = hmac.new(stream[32:], TEXT, hashlib.sha256).digest()[:12]
        expected = nonce + AESGCM(stream[:32]).encrypt(nonce, TEXT, b"")
        self.assertEqual(payload(self.encrypt("convergent", context=b64(context))), expected)

    def test_rsa(self):
        info = self.create("rsa", type="rsa-2048")
        public = serialization.load_pem_public_key(info["keys"]["1"]["public_key"].encode())
        private = serialization.load_pem_private_key(self.exported("encryption-key", "rsa").encode(), None)
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        self.assertEqual(private.decrypt(payload(self.encrypt("rsa")), oaep), TEXT)
        self.assertEqual(self.decrypt("rsa", "vault:v1:" + b64(public.encrypt(TEXT, oaep))), TEXT)
        sign = lambda **more: payload(self.ok(self.server.post("transit/sign/rsa", {"input": b64(TEXT), **more}))["signature"])
        longest = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
        equal = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        public.verify(sign(), TEXT, longest, hashes.SHA256())
        public.verify(sign(salt_length="hash"), TEXT, equal, hashes.SHA256())
        public.verify(sign(signature_algorithm="pkcs1v15", hash_algorithm="sha2-512"), TEXT, padding.PKCS1v15(), hashes.SHA512())
        for scheme in (longest, equal):
            theirs = "vault:v1:" + b64(private.sign(TEXT, scheme, hashes.SHA256()))
            self.assertTrue(self.ok(self.server.post("transit/verify/rsa", {"input": b64(TEXT), "signature": theirs}))["valid"])

    def test_curves(self):
        for kind, curve, digest in (("ecdsa-p256", ec.SECP256R1, hashes.SHA256()), ("ecdsa-p384", ec.SECP384R1, hashes.SHA384()),
                                    ("ecdsa-p521", ec.SECP521R1, hashes.SHA512())):
            info = self.create(kind, type=kind)
            public = serialization.load_pem_public_key(info["keys"]["1"]["public_key"].encode())
            self.assertIsInstance(public.curve, curve)
            private = serialization.load_pem_private_key(self.exported("signing-key", kind).encode(), None)
            self.assertEqual(private.public_key().public_numbers(), public.public_numbers())
            name = f"sha2-{digest.digest_size * 8}"
            made = self.ok(self.server.post(f"transit/sign/{kind}/{name}", {"input": b64(TEXT)}))["signature"]
            public.verify(payload(made), TEXT, ec.ECDSA(digest))
            jws = self.ok(self.server.post(f"transit/sign/{kind}/{name}", {"input": b64(TEXT), "marshaling_algorithm": "jws"}))
            raw = base64.urlsafe_b64decode(jws["signature"].split(":")[2] + "==")
            half = len(raw) // 2
            der = utils.encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
            public.verify(der, TEXT, ec.ECDSA(digest))
            theirs = "vault:v1:" + b64(private.sign(TEXT, ec.ECDSA(digest)))
            answer = self.server.post(f"transit/verify/{kind}/{name}", {"input": b64(TEXT), "signature": theirs})
            self.assertTrue(self.ok(answer)["valid"])

    def test_ed25519(self):
        info = self.create("ed", type="ed25519")
        public = ed25519.Ed25519PublicKey.from_public_bytes(unb64(info["keys"]["1"]["public_key"]))
        public.verify(payload(self.ok(self.server.post("transit/sign/ed", {"input": b64(TEXT)}))["signature"]), TEXT)
        both = unb64(self.exported("signing-key", "ed"))
        private = ed25519.Ed25519PrivateKey.from_private_bytes(both[:32])
        theirs = "vault:v1:" + b64(private.sign(TEXT))
        self.assertTrue(self.ok(self.server.post("transit/verify/ed", {"input": b64(TEXT), "signature": theirs}))["valid"])

    def test_hmac(self):
        self.create("mac", type="hmac")
        key = unb64(self.exported("hmac-key", "mac"))
        made = self.ok(self.server.post("transit/hmac/mac/sha2-384", {"input": b64(TEXT)}))["hmac"]
        self.assertEqual(payload(made), hmac.new(key, TEXT, hashlib.sha384).digest())

    def test_import_as_clients_wrap(self):
        wrapping = self.ok(self.server.get("transit/wrapping_key"))["public_key"]
        public = serialization.load_pem_public_key(wrapping.encode())
        self.assertEqual(public.key_size, 4096)

        def wrapped(target, digest=hashes.SHA256()):
            ephemeral = os.urandom(32)
            oaep = padding.OAEP(padding.MGF1(digest), digest, None)
            return b64(public.encrypt(ephemeral, oaep) + keywrap.aes_key_wrap_with_padding(ephemeral, target))

        key = os.urandom(32)
        self.ok(self.server.post("transit/keys/brought/import", {"ciphertext": wrapped(key), "type": "aes256-gcm96"}))
        data = payload(self.encrypt("brought"))
        self.assertEqual(AESGCM(key).decrypt(data[:12], data[12:], b""), TEXT)
        private = ec.generate_private_key(ec.SECP256R1())
        der = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.ok(self.server.post("transit/keys/brought-ec/import", {"ciphertext": wrapped(der, hashes.SHA512()), "type": "ecdsa-p256",
                                                                   "hash_function": "SHA512"}))
        made = self.ok(self.server.post("transit/sign/brought-ec", {"input": b64(TEXT)}))["signature"]
        private.public_key().verify(payload(made), TEXT, ec.ECDSA(hashes.SHA256()))
        big = rsa.generate_private_key(65537, 2048)
        der = big.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.ok(self.server.post("transit/keys/brought-rsa/import", {"ciphertext": wrapped(der), "type": "rsa-2048"}))
        made = self.ok(self.server.post("transit/sign/brought-rsa", {"input": b64(TEXT), "signature_algorithm": "pkcs1v15"}))
        big.public_key().verify(payload(made["signature"]), TEXT, padding.PKCS1v15(), hashes.SHA256())
        answer = self.server.post("transit/keys/brought-bad/import", {"ciphertext": wrapped(der), "type": "ecdsa-p256"})
        self.assertEqual(answer.status, 400, answer.raw)


if __name__ == "__main__":
    unittest.main(verbosity=2)
