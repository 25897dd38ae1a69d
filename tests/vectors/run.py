#!/usr/bin/env python3
"""Runs published test vectors through the crypto room (tests/unit/crypto/vectors.c says the protocol).

    run.py --tool PROGRAM --vectors DIR --extra DIR (--all | --sample)

Vectors: Wycheproof, NIST's and RFCs' as packages bring them (packaging/deps.sh vectors), and more under --extra. One TAP
line for each file; a file that is not there is a skip. Exit status 77 where nothing could be run.
"""
import argparse
import base64
import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

ALG = {name: number for number, name in {
    1: "AES-128-GCM", 2: "AES-256-GCM", 3: "XAES-256-GCM", 4: "CHACHA20-POLY1305", 5: "AES-256-GCM-SIV",
    16: "Ed25519", 17: "ECDSA-P-256", 18: "ECDSA-P-384", 19: "ECDSA-P-521", 20: "RSA-2048", 21: "RSA-3072",
    22: "RSA-4096", 24: "ECDH-P-256", 25: "ECDH-P-384", 26: "X25519", 32: "ML-KEM-512", 33: "ML-KEM-768",
    34: "ML-KEM-1024", 36: "X-Wing", 48: "ML-DSA-44", 49: "ML-DSA-65", 50: "ML-DSA-87",
    80: "id-MLDSA44-Ed25519-SHA512", 81: "id-MLDSA65-Ed25519-SHA512", 82: "id-MLDSA65-ECDSA-P256-SHA512",
    83: "id-MLDSA65-ECDSA-P384-SHA512", 84: "id-MLDSA87-ECDSA-P384-SHA512",
    85: "id-MLDSA44-ECDSA-P256-SHA256"}.items()}
HASH = {"SHA-224": 0, "SHA-256": 1, "SHA-384": 2, "SHA-512": 3, "SHA3-224": 4, "SHA3-256": 5, "SHA3-384": 6,
        "SHA3-512": 7}
NATIVE, PKCS8, RAW, SEED = range(4)
SAMPLE = 12  # with --sample: of each file, about so many cases


class Tool:
    def __init__(self, program):
        self.process = subprocess.Popen([program, "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def ask(self, request, *words):
        """Gives (True, bytes) or (False, name of the error)."""
        line = [request]
        for word in words:
            if isinstance(word, int):
                word = str(word).encode()
            line.append(word.hex() or "-")
        self.process.stdin.write(" ".join(line) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the tool died at: {line[0]} {' '.join(line[1:])[:200]}")
        kind, _, rest = answer.strip().partition(" ")
        return (True, bytes.fromhex(rest)) if kind == "ok" else (False, rest)

    def end(self):
        self.process.stdin.close()
        return self.process.wait()


def options(hash=0, prehashed=0, pkcs1=0, salt=-1, raw=0, deterministic=0, context=b""):
    return bytes([hash, prehashed, pkcs1, salt & 0xff, raw, deterministic]) + context


def x(text):
    return bytes.fromhex(text)


class Run:
    def __init__(self, arguments):
        self.all = arguments.all
        self.tool = Tool(arguments.tool)
        self.vectors = Path(arguments.vectors) / "usr"
        self.wycheproof = self.vectors / "share/gocode/src/github.com/c2sp/wycheproof/testvectors_v1"
        self.nist = self.vectors / "lib/python3/dist-packages/cryptography_vectors"
        self.extra = Path(arguments.extra)
        self.number = self.ran = self.failed = 0

    # ---- reporting

    def report(self, name, wrong, count):
        self.number += 1
        self.ran += 1
        if wrong or count == 0:
            self.failed += 1
            print(f"not ok {self.number} - {name}: {len(wrong)} of {count} cases")
            for line in wrong[:5] or ["no case was run"]:
                print("  # " + line)
        else:
            print(f"ok {self.number} - {name}: {count} cases", flush=True)

    def skip(self, name, why):
        self.number += 1
        print(f"ok {self.number} - {name} # skip {why}")

    def cases(self, name, generator):
        """generator yields (case name, thunk); a thunk gives None or what is wrong."""
        cases = list(generator)
        step = 1 if self.all else max(1, len(cases) // SAMPLE)
        wrong, count = [], 0
        for label, check in cases[::step]:
            count += 1
            got = check()
            if got:
                wrong.append(f"{label}: {got}")
        self.report(name, wrong, count)

    def file(self, name, path, function, *more):
        if not path.exists():
            return self.skip(name, f"{path.name} is not there")
        return self.cases(name, function(path, *more))

    # ---- Wycheproof

    def wyche(self, stem, function, *more):
        def tests(path):
            for group in json.loads(path.read_text())["testGroups"]:
                for test in group["tests"]:
                    check = function(group, test, *more)
                    if check:
                        yield f"tcId {test['tcId']} ({test.get('comment', '')})", check
        self.file("Wycheproof " + stem, self.wycheproof / f"{stem}_test.json", tests)

    def judge(self, test, got, expected=None):
        """got: the tool's answer; expected: bytes, for a valid case."""
        good, value = got
        if test["result"] == "invalid" and good:
            return "accepted"
        if test["result"] == "valid" and not good:
            return f"refused ({value})"
        if good and expected is not None and value != expected and test["result"] != "invalid":
            return "another value"
        return None

    def aead(self, group, test, names):
        alg = names.get(group["keySize"])
        if alg is None or group["ivSize"] != 96 or group["tagSize"] != 128:
            return None
        def check():
            sealed = x(test["ct"]) + x(test["tag"])
            head = ALG[alg], x(test["key"]), x(test["iv"]), x(test["aad"])
            wrong = self.judge(test, self.tool.ask("open", *head, sealed), x(test["msg"]))
            if not wrong and test["result"] == "valid":
                wrong = self.judge(test, self.tool.ask("seal", *head, x(test["msg"])), sealed)
            return wrong
        return check

    def kwp(self, group, test):
        if group["keySize"] != 256 or test["msg"] == "" and test["result"] == "valid":
            return None
        def check():
            if test["result"] == "valid":
                wrong = self.judge(test, self.tool.ask("kwp_wrap", x(test["key"]), x(test["msg"])), x(test["ct"]))
                if wrong:
                    return "wrap: " + wrong
            return self.judge(test, self.tool.ask("kwp_unwrap", x(test["key"]), x(test["ct"])), x(test["msg"]))
        return check

    def hkdf(self, group, test, hash):
        if not test["ikm"]:
            return None  # a secret has at least one byte
        return lambda: self.judge(test, self.tool.ask("hkdf", HASH[hash], x(test["ikm"]), x(test["salt"]), x(test["info"]),
                                                      test["size"]), x(test["okm"]))

    def hmac(self, group, test, hash):
        if len(test["tag"]) != group["tagSize"] // 4 or not test["key"]:
            return None
        # Truncated tags are not used here: one must be refused, even a right one.
        short = group["tagSize"] // 8 != {0: 28, 1: 32, 2: 48, 3: 64}[HASH[hash] % 4]
        judged = dict(test, result="invalid") if short else test
        return lambda: self.judge(judged, self.tool.ask("hmac_verify", HASH[hash], x(test["key"]), x(test["msg"]), x(test["tag"])))

    def ecdsa(self, group, test, curve, raw):
        return lambda: self.judge(test, self.tool.ask(
            "verify", ALG["ECDSA-" + curve], x(group["publicKeyDer"]), options(hash=HASH[group["sha"]], raw=raw),
            x(test["msg"]), x(test["sig"])))

    def eddsa(self, group, test):
        return lambda: self.judge(test, self.tool.ask("verify", ALG["Ed25519"], x(group["publicKey"]["pk"]), options(),
                                                      x(test["msg"]), x(test["sig"])))

    def rsa(self, group, test, pkcs1):
        name = f"RSA-{group['keySize']}"
        if name not in ALG or group["sha"] not in HASH or (not pkcs1 and group["sha"] != group["mgfSha"]):
            return None
        if int(group["publicKey"]["publicExponent"], 16) < 1 << 16:
            test = {**test, "result": "invalid"}  # good by itself; FIPS 186-5 A.1.1 has no such key, and so have we not
        how = options(hash=HASH[group["sha"]], pkcs1=pkcs1, salt=group.get("sLen", 0))
        return lambda: self.judge(test, self.tool.ask("verify", ALG[name], x(group["publicKeyDer"]), how, x(test["msg"]),
                                                      x(test["sig"])))

    def rsa_generate(self, group, test):
        if f"RSA-{group['keySize']}" not in ALG or group["sha"] not in HASH:
            return None
        return lambda: self.judge(test, self.tool.ask(
            "sign", ALG[f"RSA-{group['keySize']}"], PKCS8, x(group["privateKeyPkcs8"]),
            options(hash=HASH[group["sha"]], pkcs1=1), x(test["msg"])), x(test["sig"]))

    def oaep(self, group, test):
        if group["sha"] not in HASH or group["sha"] != group["mgfSha"] or test["label"] or \
                f"RSA-{group['keySize']}" not in ALG:
            return None
        if not test["msg"] and test["result"] == "valid":
            return None
        return lambda: self.judge(test, self.tool.ask(
            "oaep_decrypt", ALG[f"RSA-{group['keySize']}"], PKCS8, x(group["privateKeyPkcs8"]), HASH[group["sha"]],
            x(test["ct"])), x(test["msg"]))

    def ecdh(self, group, test, curve, field):
        private = x(test["private"]).lstrip(b"\0").rjust(field, b"\0")
        return lambda: self.judge(test, self.tool.ask("agree", ALG["ECDH-" + curve], RAW, private, x(test["public"])),
                                  x(test["shared"]))

    def x25519(self, group, test):
        zero = test["shared"] == "00" * 32
        judged = dict(test, result="invalid") if zero else dict(test, result="valid")
        return lambda: self.judge(judged, self.tool.ask("agree", ALG["X25519"], RAW, x(test["private"]), x(test["public"])),
                                  x(test["shared"]))

    def mlkem(self, group, test):
        def check():
            alg = ALG[group["parameterSet"]]
            if test["result"] == "valid":
                wrong = self.judge(test, self.tool.ask("public", alg, SEED, x(test["seed"])), x(test["ek"]))
                if wrong:
                    return "public key: " + wrong
            return self.judge(test, self.tool.ask("decapsulate", alg, SEED, x(test["seed"]), x(test["c"])), x(test.get("K", "")))
        return check

    def mlkem_encaps(self, group, test):
        # The library draws its own randomness: a good key must work, a bad one be refused.
        return lambda: self.judge(test, self.tool.ask("public_check", ALG[group["parameterSet"]], x(test["ek"])))

    def mlkem_keygen(self, group, test):
        def check():
            alg = ALG[group["parameterSet"]]
            return self.judge(test, self.tool.ask("public", alg, SEED, x(test["seed"])), x(test["ek"])) or \
                self.judge(test, self.tool.ask("private", alg, SEED, x(test["seed"]), RAW), x(test["dk"]))
        return check

    def mlkem_expanded(self, group, test):
        return lambda: self.judge(test, self.tool.ask("decapsulate", ALG[group["parameterSet"]], RAW, x(test["dk"]), x(test["c"])),
                                  x(test.get("K", "")))

    def mldsa_verify(self, group, test, alg):
        context = x(test.get("ctx", ""))
        return lambda: self.judge(test, self.tool.ask("verify", ALG[alg], x(group["publicKey"]), options(context=context),
                                                      x(test["msg"]), x(test["sig"])))

    def mldsa_sign(self, group, test, alg, form, field):
        flags = test.get("flags", [])
        if "Internal" in flags or "Randomized" in flags or "msg" not in test:
            return None  # other interfaces: the message representative, chosen randomness
        how = options(deterministic=1, context=x(test.get("ctx", "")))
        return lambda: self.judge(test, self.tool.ask("sign", ALG[alg], form, x(group[field]), how, x(test["msg"])),
                                  x(test["sig"]))

    def all_wycheproof(self):
        if not self.wycheproof.is_dir():
            return self.skip("Wycheproof", "packaging/deps.sh vectors")
        self.wyche("aes_gcm", self.aead, {128: "AES-128-GCM", 256: "AES-256-GCM"})
        self.wyche("chacha20_poly1305", self.aead, {256: "CHACHA20-POLY1305"})
        self.wyche("aes_gcm_siv", self.aead, {256: "AES-256-GCM-SIV"})
        self.wyche("aes_kwp", self.kwp)
        for bits in ("256", "384", "512"):
            self.wyche(f"hkdf_sha{bits}", self.hkdf, f"SHA-{bits}")
        for stem, hash in (("sha224", "SHA-224"), ("sha256", "SHA-256"), ("sha384", "SHA-384"), ("sha512", "SHA-512"),
                           ("sha3_224", "SHA3-224"), ("sha3_256", "SHA3-256"), ("sha3_384", "SHA3-384"),
                           ("sha3_512", "SHA3-512")):
            self.wyche(f"hmac_{stem}", self.hmac, hash)
        for curve, name in (("secp256r1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")):
            for hash in ("sha256", "sha384", "sha512", "sha3_256", "sha3_384", "sha3_512"):
                if (self.wycheproof / f"ecdsa_{curve}_{hash}_test.json").exists():
                    self.wyche(f"ecdsa_{curve}_{hash}", self.ecdsa, name, 0)
                if (self.wycheproof / f"ecdsa_{curve}_{hash}_p1363_test.json").exists():
                    self.wyche(f"ecdsa_{curve}_{hash}_p1363", self.ecdsa, name, 1)
        self.wyche("ed25519", self.eddsa)
        for stem in ("2048_sha256_mgf1_0", "2048_sha256_mgf1_32", "2048_sha384_mgf1_48", "3072_sha256_mgf1_32",
                     "4096_sha256_mgf1_32", "4096_sha384_mgf1_48", "4096_sha512_mgf1_32", "4096_sha512_mgf1_64"):
            self.wyche("rsa_pss_" + stem, self.rsa, 0)
        for bits in (2048, 3072, 4096):
            for hash in ("sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512"):
                if (self.wycheproof / f"rsa_signature_{bits}_{hash}_test.json").exists():
                    self.wyche(f"rsa_signature_{bits}_{hash}", self.rsa, 1)
            self.wyche(f"rsa_pkcs1_{bits}_sig_gen", self.rsa_generate)
        for stem in ("2048_sha224_mgf1sha224", "2048_sha256_mgf1sha256", "2048_sha384_mgf1sha384", "2048_sha512_mgf1sha512",
                     "3072_sha256_mgf1sha256", "3072_sha512_mgf1sha512", "4096_sha256_mgf1sha256",
                     "4096_sha512_mgf1sha512"):
            self.wyche("rsa_oaep_" + stem, self.oaep)
        for curve, name, field in (("secp256r1", "P-256", 32), ("secp384r1", "P-384", 48)):
            self.wyche(f"ecdh_{curve}", self.ecdh, name, field)
            self.wyche(f"ecdh_{curve}_ecpoint", self.ecdh, name, field)
        self.wyche("x25519", self.x25519)
        for bits in (512, 768, 1024):
            self.wyche(f"mlkem_{bits}", self.mlkem)
            self.wyche(f"mlkem_{bits}_encaps", self.mlkem_encaps)
            self.wyche(f"mlkem_{bits}_keygen_seed", self.mlkem_keygen)
            self.wyche(f"mlkem_{bits}_semi_expanded_decaps", self.mlkem_expanded)
        for level in (44, 65, 87):
            self.wyche(f"mldsa_{level}_verify", self.mldsa_verify, f"ML-DSA-{level}")
            self.wyche(f"mldsa_{level}_sign_seed", self.mldsa_sign, f"ML-DSA-{level}", SEED, "privateSeed")
            self.wyche(f"mldsa_{level}_sign_noseed", self.mldsa_sign, f"ML-DSA-{level}", RAW, "privateKey")

    # ---- NIST's and RFCs', from python3-cryptography-vectors

    @staticmethod
    def records(path, first):
        """NIST's text files: `name = value`; a record begins at the name `first`."""
        record = {}
        for line in path.read_text().splitlines():
            found = re.match(r"(\w+)\s*=\s*(.*)$", line)
            if line.strip() == "FAIL":
                record["FAIL"] = True
            elif found:
                if found.group(1) == first and record:
                    yield record
                    record = {}
                record[found.group(1)] = found.group(2).strip()
        if record:
            yield record

    def nist_kwp(self, path, wrap):
        for number, r in enumerate(self.records(path, "COUNT")):
            if "C" not in r:
                continue
            def check(r=r):
                if wrap:
                    return self.judge({"result": "valid"}, self.tool.ask("kwp_wrap", x(r["K"]), x(r["P"])), x(r["C"]))
                return self.judge({"result": "invalid" if r.get("FAIL") else "valid"},
                                  self.tool.ask("kwp_unwrap", x(r["K"]), x(r["C"])), x(r.get("P", "")))
            yield f"record {number}", check

    def rfc_hkdf(self, path):  # @proves RFC5869:2
        for number, r in enumerate(self.records(path, "COUNT")):
            if "OKM" not in r or r.get("Hash") not in (None, "SHA-256"):
                continue
            yield f"record {number}", lambda r=r: self.judge(
                {"result": "valid"}, self.tool.ask("hkdf", HASH["SHA-256"], x(r["IKM"]), x(r["salt"]), x(r["info"]),
                                                   int(r["L"])), x(r["OKM"]))

    def kat_mlkem(self, path, alg):
        good = {"result": "valid"}
        for r in self.records(path, "count"):
            def check(r=r):
                seed = x(r["d"]) + x(r["z"])
                return self.judge(good, self.tool.ask("public", ALG[alg], SEED, seed), x(r["pk"])) or \
                    self.judge(good, self.tool.ask("private", ALG[alg], SEED, seed, RAW), x(r["sk"])) or \
                    self.judge(good, self.tool.ask("decapsulate", ALG[alg], SEED, seed, x(r["ct"])), x(r["ss"]))
            yield f"count {r['count']}", check

    def kat_mldsa(self, path, alg):
        good = {"result": "valid"}
        for r in self.records(path, "count"):
            def check(r=r):
                context, message = x(r.get("ctx", "")), x(r["msg"])
                signature = x(r["sm"])[:-len(message)] if message else x(r["sm"])
                how = options(deterministic=1, context=context)
                return self.judge(good, self.tool.ask("public", ALG[alg], SEED, x(r["xi"])), x(r["pk"])) or \
                    self.judge(good, self.tool.ask("sign", ALG[alg], SEED, x(r["xi"]), how, message), signature) or \
                    self.judge(good, self.tool.ask("verify", ALG[alg], x(r["pk"]), how, message, signature))
            yield f"count {r['count']}", check

    def hpke(self, path):  # @proves RFC9180:5.1 @proves draft-connolly-cfrg-xwing-kem:5.3
        for t in json.loads(path.read_text()):
            if t["mode"] != 0 or t["kem_id"] != 0x647a:
                continue
            good = {"result": "valid"}
            def keys(t=t):
                return self.judge(good, self.tool.ask("public", ALG["X-Wing"], SEED, x(t["skRm"])), x(t["pkRm"])) or \
                    self.judge(good, self.tool.ask("decapsulate", ALG["X-Wing"], SEED, x(t["skRm"]), x(t["enc"])),
                               x(t["shared_secret"]))
            yield f"kdf {t['kdf_id']} key pair and shared secret", keys
            if t["kdf_id"] != 1:
                continue
            def message(t=t, flip=None):
                e = t["encryptions"][0]
                sealed = bytearray(x(t["enc"]) + x(e["ct"]))
                if flip is not None:
                    sealed[flip] ^= 1
                return self.judge({"result": "valid" if flip is None else "invalid"}, self.tool.ask(
                    "hpke_open", ALG["X-Wing"], SEED, x(t["skRm"]), x(t["info"]), x(e["aad"]), bytes(sealed), t["aead_id"]),
                    x(e["pt"]))
            yield "message 0", message
            yield "message 0, enc altered", lambda t=t: message(t, 7)
            yield "message 0, ciphertext altered", lambda t=t: message(t, -1)

    def key_files(self, folder):
        """PKCS#8 keys of ML-KEM and ML-DSA: recognised, and the public half as published."""
        for name, alg in (("MLDSA/mldsa44_priv.der", "ML-DSA-44"), ("MLDSA/mldsa65_noseed_priv.der", "ML-DSA-65"),
                          ("MLKEM/mlkem768.der", "ML-KEM-768")):
            if (folder / name).exists():
                yield name, lambda name=name, alg=alg: self.judge(
                    {"result": "valid"}, self.tool.ask("pkcs8", (folder / name).read_bytes()), bytes([ALG[alg]]))

    def all_nist(self):
        if not self.nist.is_dir():
            return self.skip("python3-cryptography-vectors", "packaging/deps.sh vectors")
        wrap = self.nist / "keywrap/kwtestvectors"
        self.file("NIST CAVP KWP-AE-256", wrap / "KWP_AE_256.txt", self.nist_kwp, True)
        self.file("NIST CAVP KWP-AD-256", wrap / "KWP_AD_256.txt", self.nist_kwp, False)
        self.file("RFC 5869 HKDF-SHA-256", self.nist / "KDF/rfc-5869-HKDF-SHA256.txt", self.rfc_hkdf)
        for bits in (512, 768, 1024):
            self.file(f"known answers ML-KEM-{bits}", self.nist / f"asymmetric/MLKEM/kat_MLKEM_{bits}.rsp", self.kat_mlkem,
                      f"ML-KEM-{bits}")
        for level in (44, 65, 87):
            self.file(f"known answers ML-DSA-{level}", self.nist / f"asymmetric/MLDSA/kat_MLDSA_{level}_det_pure.rsp",
                      self.kat_mldsa, f"ML-DSA-{level}")
        self.file("draft-ietf-hpke-pq X-Wing", self.nist / "HPKE/hpke-pq-test-vectors.json", self.hpke)
        self.file("PKCS#8 of ML-KEM and ML-DSA", self.nist / "asymmetric", self.key_files)

    # ---- what no package brings

    def composite(self, path):  # @proves draft-ietf-lamps-pq-composite-sigs:4.2
        published = json.loads(path.read_text())
        message, context = base64.b64decode(published["m"]), base64.b64decode(published["ctx"])
        good, bad = {"result": "valid"}, {"result": "invalid"}
        for t in published["tests"]:
            alg = t["tcId"].replace("id-ML-DSA", "ML-DSA")
            if alg not in ALG:
                continue
            pk, sk, pkcs8, s, with_context = (base64.b64decode(t[name]) for name in ("pk", "sk", "sk_pkcs8", "s", "sWithContext"))
            def verify(signature, how, result=good, alg=alg, pk=pk, text=message):
                return self.judge(result, self.tool.ask("verify", ALG[alg], pk, how, text, signature))
            ecdsa = "ECDSA" in alg
            yield alg + " verifies", lambda s=s, v=verify: v(s, options())
            yield alg + " verifies with context", lambda s=with_context, v=verify: v(s, options(context=context))
            yield alg + " refuses another context", lambda s=with_context, v=verify: v(s, options(), bad)
            yield alg + " refuses another message", lambda s=s, v=verify: v(s, options(), bad, text=message + b"!")
            for place in (5, len(s) - 3):
                yield f"{alg} refuses byte {place} altered", lambda s=s, v=verify, p=place: v(
                    s[:p] + bytes([s[p] ^ 1]) + s[p + 1:], options(), bad)
            yield alg + " private key gives the public", lambda a=alg, sk=sk, pk=pk: self.judge(
                good, self.tool.ask("public", ALG[a], NATIVE, sk), pk)
            yield alg + " PKCS#8 is read", lambda a=alg, p=pkcs8, pk=pk: self.judge(
                good, self.tool.ask("public", ALG[a], PKCS8, p), pk)
            yield alg + " PKCS#8 is recognised", lambda a=alg, p=pkcs8: self.judge(
                good, self.tool.ask("pkcs8", p), bytes([ALG[a]]))
            yield alg + " PKCS#8 is written", lambda a=alg, p=pkcs8, sk=sk: self.judge(
                good, self.tool.ask("private", ALG[a], NATIVE, sk, PKCS8), p)
            def signs(a=alg, sk=sk, v=verify):
                ok, signature = self.tool.ask("sign", ALG[a], NATIVE, sk, options(context=context), message)
                return v(signature, options(context=context)) if ok else signature
            yield alg + " signs", signs

    def mlkem_refused(self, path, alg):
        text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
        for number, line in enumerate(text.split()):
            yield f"line {number + 1}", lambda line=line: self.judge(
                {"result": "invalid"}, self.tool.ask("public_check", ALG[alg], x(line)))

    def mlkem_implicit(self, path, alg):
        fields = dict(re.findall(r"^(\w+)\s*[=:]\s*([0-9a-f]+)\s*$", path.read_text(), re.M))
        good = {"result": "valid"}
        def check():
            dk = x(fields["dk"]) if "dk" in fields else None
            form, key = (RAW, dk) if dk else (SEED, x(fields["d"]) + x(fields["z"]))
            return self.judge(good, self.tool.ask("decapsulate", ALG[alg], form, key, x(fields["c"])), x(fields["K"]))
        yield "decapsulates to the published secret", check

    def all_extra(self):
        if not self.extra.is_dir():
            return self.skip("vectors that no package brings", f"{self.extra.name} is not there (HF_EXTRA_VECTORS)")
        self.file("LAMPS composite signatures", self.extra / "composite/testvectors.json", self.composite)
        for bits in (512, 768, 1024):
            alg, folder = f"ML-KEM-{bits}", self.extra / "mlkem"
            self.file(f"C2SP CCTV modulus, {alg}", folder / f"modulus-{bits}.txt.gz", self.mlkem_refused, alg)
            self.file(f"C2SP CCTV strcmp, {alg}", folder / f"strcmp-{bits}.txt", self.mlkem_implicit, alg)
            self.file(f"C2SP CCTV unluckysample, {alg}", folder / f"unluckysample-{bits}.txt", self.mlkem_implicit, alg)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--extra", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--sample", dest="all", action="store_false")
    run = Run(parser.parse_args())
    run.all_wycheproof()
    run.all_nist()
    run.all_extra()
    if run.tool.end() != 0:
        print("not ok - the tool ended badly")
        return 1
    print(f"1..{run.number}")
    if run.ran == 0:
        return 77
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
