#!/usr/bin/env python3
"""docs/openapi.yaml against the operation table, and every documented operation against a running server: the requests as
documented are taken, the answers are of the documented form, and hold nothing that is not documented."""
import copy
import http.client
import json
import re
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import lib

try:
    import jsonschema
    import yaml
except ImportError:
    lib.skip("python3-jsonschema or python3-yaml is not installed")

DOC = yaml.load((lib.SRC / "docs/openapi.yaml").read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
MOUNTS = {"SYS": "/v1/sys/", "AUDIT": "/v1/audit/", "TOKEN": "/v1/auth/token/", "TRANSIT": "/v1/{transit_mount}/",
          "KV": "/v1/{kv_mount}/", "APPROLE": "/v1/auth/{approle_mount}/", "CERT": "/v1/auth/{cert_mount}/"}
TABLE = (lib.SRC / "src/ops/table.c").read_text()
METHODS = {"RD": "READ", "LS": "LIST", "WR": "WRITE", "DE": "DELETE", "HD": "HEAD", "PA": "PATCH"}


# -- the documents ----------------------------------------------------------------------------------------------------
def resolve(thing):
    while "$ref" in thing:
        at = DOC
        for part in thing["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        thing = at
    return thing


def parameters(operation):
    return [resolve(p) for p in operation.get("parameters", [])]


def operations():
    """(path, method of HTTP, operation)"""
    for path, item in DOC["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


OPERATIONS = {operation["operationId"]: (path, method, operation) for path, method, operation in operations()}


def documented():
    """{(path, method of the table)}: GET with `list` is LIST, and both where `list` may be left out."""
    for path, method, operation in operations():
        lists = [p for p in parameters(operation) if p["name"] == "list"]
        if method == "get":
            if lists:
                yield path, "LIST"
            if not lists or not lists[0]["required"]:
                yield path, "READ"
        else:
            yield path, {"post": "WRITE", "delete": "DELETE", "head": "HEAD", "patch": "PATCH"}[method]


def table():
    """{(path, method): (name, whether a token is needed)} of src/ops/table.c; of rows that fit alike the first one serves."""
    text = TABLE[TABLE.index("hf_operations[] = {"):]
    rows = re.findall(r'\{"([\w.-]+)",\s*HF_ENGINE_(\w+),\s*([A-Z| ]+),\s*"([^"]*)",([^{}]*)\}', text)
    assert len(rows) == len(re.findall(r"HF_ENGINE_", text)), "a row of the table was not understood"
    found = {}
    for name, engine, methods, path, rest in rows:
        url = MOUNTS[engine] + re.sub(r"[:*](\w+)", r"{\1}", path)
        for method in methods.split("|"):
            found.setdefault((url, METHODS[method.strip()]), (name, "HF_OP_UNAUTH" not in rest))
    return found


def undocumented(schema, value, at="$"):
    """Paths of members that the schema does not name."""
    names, patterns = {}, {}
    free = closed = False

    def gather(part):
        nonlocal free, closed
        part = resolve(part)
        for one in part.get("allOf", []):
            gather(one)
        for one in part.get("oneOf", []):
            if jsonschema.Draft202012Validator(whole(one)).is_valid(value):
                gather(one)
        if "properties" in part:
            closed = True
            for name, member in part["properties"].items():
                names.setdefault(name, []).append(member)
        if "patternProperties" in part:
            closed = True
            patterns.update(part["patternProperties"])
        extra = part.get("additionalProperties")
        if extra is not None and extra is not False:
            free = extra
        if "items" in part:
            names.setdefault("[]", []).append(part["items"])

    gather(schema)
    if isinstance(value, list):
        for number, item in enumerate(value):
            if "[]" in names:
                yield from undocumented({"allOf": names["[]"]}, item, f"{at}[{number}]")
    elif isinstance(value, dict):
        for name, member in value.items():
            fits = [one for pattern, one in patterns.items() if re.search(pattern, name)]
            if fits:
                yield from undocumented({"allOf": fits}, member, f"{at}.{name}")
            elif name in names:
                yield from undocumented({"allOf": names[name]}, member, f"{at}.{name}")
            elif isinstance(free, dict):
                yield from undocumented(free, member, f"{at}.{name}")
            elif closed and not free:
                yield f"{at}.{name}"


def whole(schema):
    """The schema with what its references need."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": DOC["components"], **copy.deepcopy(schema)}


FORMATS = jsonschema.FormatChecker(["uuid"])


@FORMATS.checks("date-time")
def is_time(text):
    return not isinstance(text, str) or re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text) is not None


def check(schema, value):
    """What is wrong, in words."""
    validator = jsonschema.Draft202012Validator(whole(schema), format_checker=FORMATS)
    wrong = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
    return wrong + [f"{where}: not documented" for where in undocumented(schema, value)]


# -- calls as documented ----------------------------------------------------------------------------------------------
class Caller:
    """Calls operations by their id, with the document's examples where nothing else is said."""

    def __init__(self, server):
        self.server, self.token = server, server.token
        self.called, self.here = set(), set()  # by any server; by this one

    def call(self, name, body=None, status=None, path=None, query=None, cert=None, as_list=False, token=None):
        url, method, operation = OPERATIONS[name]
        query = dict(query or {})
        for p in parameters(operation):
            if p["in"] == "path":
                given = (path or {}).get(p["name"], p.get("example", p["schema"].get("default")))
                if given is None:
                    given = {"transit_mount": "transit", "kv_mount": "secret"}[p["name"]]
                safe = "/" if p["name"] == "path" else ""
                url = url.replace("{" + p["name"] + "}", urllib.parse.quote(str(given), safe=safe))
            elif p["name"] == "list" and (p["required"] or as_list):
                query["list"] = "true"
        known = {p["name"] for p in parameters(operation) if p["in"] == "query"}
        assert set(query) <= known, f"{name}: {set(query) - known} is no documented parameter"
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content:
            body = content["example"] if body is None else body
            wrong = check(content["schema"], body)
            assert not wrong, f"{name}: the request is not as documented: {wrong}"
        else:
            assert body is None, f"{name}: no body is documented"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        if operation.get("security") == []:
            token = token or ""
        answer = self.send(method.upper(), url.removeprefix("/v1/"), body, token, cert)
        said = operation["responses"].get(str(answer.status)) or operation["responses"]["default"]
        problems = self.problems(resolve(said), answer)
        assert not problems, f"{name}: {answer.status} {answer.raw[:1500]!r}\n" + "\n".join(problems)
        if status is None:
            assert answer.status < 300 or name.startswith("sys.health"), f"{name}: {answer.status} {answer.raw[:500]!r}"
            self.called.add(name)
            self.here.add(name)
        else:
            assert answer.status == status, f"{name}: {answer.status} {answer.raw[:500]!r}, not {status}"
        return answer

    @staticmethod
    def problems(said, answer):
        kind = (answer.headers.get("Content-Type") or "").split(";")[0]
        content = said.get("content")
        if not content:
            return ["a body came where none is documented"] if answer.raw else []
        if kind not in content:
            return [f"content type {kind!r} is not documented"]
        return check(content[kind]["schema"], answer.json) if kind == "application/json" else []

    def send(self, method, path, body=None, token=None, cert=None):
        if cert is None:
            return self.server.call(method, path, body, token=token if token is not None else self.token)
        request = urllib.request.Request(f"{self.server.addr}/v1/{path}", data=b"{}", method=method)
        with urllib.request.urlopen(request, context=self.server.context(cert)) as answer:
            return lib.Answer(answer.status, answer.headers, answer.read())


def walk_sys(c, s):
    for name in ("sys.init.status", "sys.seal-status", "sys.health", "sys.health.head", "sys.leader", "sys.metrics", "sys.posture",
                 "sys.key-status", "sys.rotate"):
        c.call(name)
    c.call("sys.mounts.list")
    c.call("sys.mounts.list", as_list=True)
    c.call("sys.mounts.write", path={"path": "shop"})
    c.call("sys.mounts.write", {"description": "tuned", "default_lease_ttl": "2h"}, path={"path": "shop/tune"})
    c.call("sys.mounts.read", path={"path": "shop"})
    c.call("sys.mounts.read", path={"path": "shop/tune"})
    c.call("sys.mounts.delete", path={"path": "shop"})
    c.call("sys.mounts.read", path={"path": "shop"}, status=400)
    c.call("sys.mounts.write", {"type": "kv", "options": {"version": "1"}}, path={"path": "kv1"})
    c.call("sys.auth.write")
    c.call("sys.auth.write", {"type": "cert"}, path={"path": "cert"})
    c.call("sys.auth.list")
    c.call("sys.auth.read")
    c.call("sys.auth.read", path={"path": "approle/tune"})
    c.call("sys.auth.write", {"type": "approle"}, path={"path": "gone"})
    c.call("sys.auth.delete", path={"path": "gone"})
    c.call("sys.ui-mounts.list")
    c.call("sys.ui-mounts.read")
    c.call("sys.namespaces.list", status=404)
    c.call("sys.namespaces.create")
    c.call("sys.namespaces.list")
    c.call("sys.namespaces.read")
    c.call("sys.namespaces.delete")
    for kind in ("policies", "policy"):
        c.call(f"sys.{kind}.write")
        c.call(f"sys.{kind}.list")
        c.call(f"sys.{kind}.read")
        c.call(f"sys.{kind}.delete")
        c.call(f"sys.{kind}.read", status=404)
    c.call("sys.capabilities-self")
    c.call("sys.capabilities", {"token": s.token, "paths": ["transit/encrypt/orders"]})
    accessor = c.call("token.lookup-self").data["accessor"]
    c.call("sys.capabilities-accessor", {"accessor": accessor, "paths": "transit/encrypt/orders"})


def walk_tokens(c, s):
    made = c.call("token.create").json["auth"]
    other = c.call("token.create", {"policies": ["root"], "ttl": "1h", "display_name": "walk", "meta": {"a": "b"}}).json["auth"]
    child = c.call("token.create-orphan").json["auth"]
    c.call("token.roles.list", status=404)
    c.call("token.roles.write", path={"role": "shop"})
    c.call("token.roles.list")
    c.call("token.roles.read")
    by_role = c.call("token.create-role", {"policies": ["readers"]}, path={"role": "shop"}).json["auth"]
    c.call("token.lookup", {"token": by_role["client_token"]})
    c.call("token.lookup-self", token=other["client_token"])
    c.call("token.lookup-self.post", token=made["client_token"])
    c.call("token.lookup-accessor", {"accessor": made["accessor"]})
    c.call("token.accessors")
    c.call("token.renew-self", token=other["client_token"])
    c.call("token.renew", {"token": made["client_token"], "increment": 1800})
    c.call("token.renew-accessor", {"accessor": child["accessor"]})
    c.call("token.lookup", {"token": child["client_token"]})
    c.call("token.revoke-self", token=other["client_token"])
    c.call("token.lookup-self", token=other["client_token"], status=403)
    c.call("token.revoke", {"token": made["client_token"]})
    c.call("token.revoke-orphan", {"token": child["client_token"]})
    c.call("token.revoke-accessor", {"accessor": by_role["accessor"]})
    c.call("token.tidy")
    c.call("token.roles.delete")


def walk_approle(c, s):
    c.call("approle.list", status=404)
    c.call("approle.write")
    c.call("approle.list")
    c.call("approle.read")
    c.call("approle.role-id.read")
    c.call("approle.role-id.write")
    c.call("approle.secret-id.list", status=404)
    made = c.call("approle.secret-id.make").data
    c.call("approle.login", {"role_id": "shop-one", "secret_id": made["secret_id"]})
    c.call("approle.login", {"role_id": "shop-one", "secret_id": "wrong"}, status=400)
    c.call("approle.secret-id.list")
    for ending in ("approle.secret-id.destroy", "approle.secret-id.delete"):
        c.call("approle.secret-id.custom")
        c.call("approle.secret-id.lookup")
        if ending.endswith("destroy"):
            c.call(ending)
        else:
            c.call(ending, query={"secret_id": "a-text-of-ones-own"})
        assert c.call("approle.secret-id.lookup").status == 204
    c.call("approle.accessor.lookup", {"secret_id_accessor": made["secret_id_accessor"]})
    c.call("approle.accessor.destroy", {"secret_id_accessor": made["secret_id_accessor"]})
    made = c.call("approle.secret-id.make", {}).data
    c.call("approle.accessor.delete", query={"secret_id_accessor": made["secret_id_accessor"]})
    for field in re.findall(r"`([a-z-]+)`", next(p for p in parameters(OPERATIONS["approle.field.read"][2]) if p["name"] == "field")["description"]):
        c.call("approle.field.read", path={"field": field})
    c.call("approle.field.write")
    assert c.call("approle.field.read").data == {"token_ttl": 900}
    c.call("approle.field.delete")
    assert c.call("approle.field.read").data == {"token_ttl": 0}
    c.call("approle.field.read", path={"field": "no-such"}, status=404)
    c.call("approle.tidy")
    c.call("approle.delete")
    c.call("approle.read", status=404)


def walk_cert(c, s):
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder) / "c.pem", Path(folder) / "k.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "2", "-subj", "/CN=robot", "-addext", "extendedKeyUsage=clientAuth"], check=True, capture_output=True)
        c.call("cert.write", {"certificate": cert.read_text(), "token_policies": ["readers"]})
        c.call("cert.list")
        c.call("cert.read")
        c.call("cert.login", cert=(str(cert), str(key)))
        c.call("cert.login", status=400)
        c.call("cert.delete")
        c.call("cert.read", status=404)


def walk_transit(c, s):
    def result(name, body=None, **more):
        return c.call("transit." + name, body, **more).data

    def named(name, **more):
        return {"path": {"name": name, **more}}

    c.call("transit.key-list", status=404)
    c.call("transit.key-create")
    c.call("transit.key-list")
    c.call("transit.key-read", path={"name": "no-such"}, status=404)
    sealed = result("encrypt")["ciphertext"]
    assert result("decrypt", {"ciphertext": sealed})["plaintext"] == "aGVsbG8="
    batch = result("encrypt", {"batch_input": [{"plaintext": "aGVsbG8=", "reference": "a"}, {"plaintext": "d29ybGQ=", "associated_data": "YQ=="}]})
    assert batch["batch_results"][0]["reference"] == "a"
    partly = result("decrypt", {"batch_input": [{"ciphertext": sealed}, {"ciphertext": "vault:v1:AAAA"}], "partial_failure_response_code": 200})
    assert partly["batch_results"][1]["error"]
    c.call("transit.decrypt", {"ciphertext": "vault:v1:AAAA"}, status=400)
    result("key-rotate")
    result("rewrap", {"ciphertext": sealed})
    for mode in ("plaintext", "wrapped"):
        data_key = result("datakey", path={"mode": mode})
        assert ("plaintext" in data_key) == (mode == "plaintext")
    result("key-config", {"deletion_allowed": True, "exportable": True, "allow_plaintext_backup": True, "min_encryption_version": 2,
                          "min_decryption_version": 2, "auto_rotate_period": "24h"})
    result("key-trim")
    result("key-rotate", {"pre_active": True})
    result("version-state", path={"version": 3, "verb": "activate"})
    result("version-state", path={"version": 2, "verb": "suspend"})
    result("export")
    result("export-version", path={"version": "latest"})
    result("hmac")
    tag = result("hmac-hash", path={"hash": "sha2-512"})["hmac"]
    assert result("verify-hash", {"input": "aGVsbG8=", "hmac": tag}, path={"hash": "sha2-512"})["valid"] is True
    result("key-create", {"purpose": "signing"}, **named("signer"))
    signature = result("sign", **named("signer"))["signature"]
    assert result("verify", {"input": "aGVsbG8=", "signature": signature}, **named("signer"))["valid"] is True
    assert result("verify", {"input": "d29ybGQ=", "signature": signature}, **named("signer"))["valid"] is False
    result("sign", {"batch_input": [{"input": "aGVsbG8="}, {"input": "?"}]}, **named("signer"))
    result("key-create", {"type": "rsa-2048"}, **named("rsa"))
    result("sign-hash", {"input": "aGVsbG8=", "signature_algorithm": "pss", "salt_length": "hash"}, **named("rsa", hash="sha2-384"))
    result("key-create", {"type": "ed25519", "derived": True}, **named("ed"))
    result("key-read", query={"context": "YQ=="}, **named("ed"))
    result("sign", {"input": "aGVsbG8=", "context": "YQ=="}, **named("ed"))
    result("key-create", {"type": "aes256-gcm96", "derived": True, "convergent_encryption": True}, **named("conv"))
    result("key-create", {"type": "hmac", "key_size": 64}, **named("mac"))
    result("key-create", {"purpose": "key-agreement"}, **named("kem"))
    made = result("encapsulate", **named("kem"))
    assert result("decapsulate", {"ciphertext": made["ciphertext"]}, **named("kem"))["shared_secret"] == made["shared_secret"]
    for name in ("hash", "hash-algorithm", "random", "random-source", "random-bytes"):
        result(name)
    for algorithm in ("rsa-oaep", "ml-kem-768", "ml-kem-1024", "x-wing"):
        wrapping = result("wrapping-key", query={"wrapping_algorithm": algorithm})
    recipient = wrapping["public_key"]
    assert wrapping["hpke_info"]
    public = next(iter(result("export", path={"kind": "public-key", "name": "signer"})["keys"].values()))
    result("key-import", {"public_key": public, "type": "hybrid"}, **named("foreign"))
    result("key-import-version", {"public_key": public}, **named("foreign"))
    result("backup")
    backup = result("backup.post", {"recipient": recipient})["backup"]
    c.call("transit.restore", {"backup": backup}, status=400)
    c.call("transit.restore", {"backup": backup, "force": True})
    c.call("transit.restore-name", {"backup": backup}, path={"name": "copy"})
    result("key-read", path={"name": "copy"})
    c.call("transit.key-delete", path={"name": "copy"})
    c.call("transit.key-delete", path={"name": "signer"}, status=400)


def walk_kv(c, s):
    c.call("kv.config-write")
    c.call("kv.config-read")
    c.call("kv.metadata-root", status=404)
    c.call("kv.data-write")
    c.call("kv.data-write", {"data": {"user": "z"}, "options": {"cas": 7}}, status=400)
    c.call("kv.data-patch")
    assert c.call("kv.data-read").data["data"] == {"user": "a", "password": "c"}
    c.call("kv.data-read", query={"version": 1})
    c.call("kv.metadata-root")
    c.call("kv.metadata-write")
    c.call("kv.metadata-read")
    assert c.call("kv.metadata-read", path={"path": "team"}, as_list=True).data["keys"] == ["one"]
    c.call("kv.delete")
    c.call("kv.undelete")
    c.call("kv.destroy")
    c.call("kv.data-delete")
    assert c.send("GET", "secret/data/team/one").status == 404
    c.call("kv.metadata-delete")
    v1 = {"kv_mount": "kv1", "path": "team/one"}
    c.call("kv.v1-write", path=v1)
    c.call("kv.v1-root", path=v1)
    assert c.call("kv.v1-read", path=v1).data == {"user": "a"}
    c.call("kv.v1-read", path={"kv_mount": "kv1", "path": "team"}, as_list=True)
    c.call("kv.v1-delete", path=v1)
    c.call("kv.v1-read", path=v1, status=404)


def walk_audit(c, s):
    c.call("sys.audit.list")
    c.call("sys.audit.hash")
    c.call("audit.checkpoint", query={"fresh": "true"})
    c.call("audit.vkeys")
    entries = c.call("audit.entries", query={"limit": 50}).data
    c.call("audit.entries", query={"from": 0, "limit": 5, "details": "false"})
    c.call("audit.checkpoint", query={"fresh": "true"})
    c.call("audit.proof.inclusion", query={"index": 0})
    c.call("audit.proof.inclusion", status=400)
    c.call("audit.proof.consistency", query={"old": 1, "new": entries["size"]})
    c.call("audit.tile", path={"path": f"0/000.p/{min(entries['size'], 200)}"})
    c.call("audit.export")


def walk_seal(c, s):
    """The seal's own operations, on a server that begins without one; ends with new shares and a new root token."""
    c.call("sys.health", status=501)
    c.call("sys.init", {"secret_shares": 33, "secret_threshold": 3}, status=400)
    made = c.call("sys.init", {"secret_shares": 3, "secret_threshold": 2}).json
    c.token = made["root_token"]
    c.call("sys.health", status=503)
    keys = made["keys_base64"]
    c.call("sys.unseal", {"key": keys[0]})
    c.call("sys.unseal", {"reset": True})
    for key in keys[:2]:
        state = c.call("sys.unseal", {"key": key}).json
    assert state["sealed"] is False
    c.call("sys.rekey.status")
    c.call("sys.rekey.begin")
    c.call("sys.rekey.cancel")
    c.call("sys.rekey.verify-status", status=400)
    nonce = c.call("sys.rekey.begin", {"secret_shares": 2, "secret_threshold": 2, "require_verification": True}).json["nonce"]
    for key in keys[:2]:
        done = c.call("sys.rekey.update", {"key": key, "nonce": nonce}).json
    c.call("sys.rekey.verify-status")
    c.call("sys.rekey.verify", {"key": done["keys_base64"][0], "nonce": done["verification_nonce"]})
    nonce = c.call("sys.rekey.verify-restart").json["nonce"]
    for key in done["share_cards"]:
        verified = c.call("sys.rekey.verify", {"key": key, "nonce": nonce}).json
    assert verified["complete"]
    c.call("sys.generate-root.status")
    c.call("sys.generate-root.begin")
    c.call("sys.generate-root.cancel")
    begun = c.call("sys.generate-root.begin").json
    for key in done["keys_base64"]:
        given = c.call("sys.generate-root.update", {"key": key, "nonce": begun["nonce"]}).json
    encoded = given["encoded_token"]
    token = bytes(a ^ b for a, b in zip(lib.unb64(encoded + "=" * (-len(encoded) % 4)), begun["otp"].encode())).decode()
    c.call("token.lookup-self", token=token)
    c.call("sys.seal")
    c.call("sys.health", status=503)
    c.call("sys.mounts.list", status=503)
    c.call("sys.metrics", token="")
    c.call("sys.posture", token="")


def key_types():
    """The rows of docs/api.md's table of key types, from src/crypto/alg.c."""
    text = (lib.SRC / "src/crypto/alg.c").read_text()
    does = {"SEAL": "encrypt", "DERIVE": "derive", "MAC": "HMAC", "SIGN": "sign", "KEM": "encapsulate"}
    ready = {"RESILIENT": "quantum-resilient", "HYBRID": "hybrid", "REDUCED": "symmetric-below-256", "VULNERABLE": "quantum-vulnerable"}
    rows = []
    for kind, inside in re.findall(r"^    (SYMMETRIC|ASYMMETRIC|COMPOSITE)\(([^)]*)\)", text, re.M):
        part = [p.strip().strip('"') for p in inside.replace("SEALING", "HF_USE_SEAL | HF_USE_DERIVE").split(",")]
        limit = ""
        if kind == "COMPOSITE":
            kind, choice, name, uses, readiness = "hybrid", f"`{part[1]}`, `{part[2]}`", part[3], "SIGN", "HYBRID"
        elif kind == "ASYMMETRIC":
            kind, choice, name, uses, readiness = part[1], "" if part[2] == "NULL" else f"`{part[2]}`", part[3], part[4], part[5]
        else:
            kind, choice, name, uses, readiness = part[1], "", part[2], part[3], part[4]
            limit = "2^32" if part[8] == "RANDOM_NONCE_MAX" else ""
        words = [word for use, word in does.items() if "HF_USE_" + use in uses or uses == use]
        if words:  # an algorithm that only wraps keys is no transit key
            rows.append(f"| `{kind}` | {choice} | {name} | {', '.join(words)} | {ready[readiness]} | {limit} |".replace("|  |", "| |"))
    return [row.replace("|  |", "| |") for row in rows]


class Table(unittest.TestCase):
    def test_paths_and_methods_are_those_of_the_table(self):
        self.assertEqual(set(documented()), set(table()))

    def test_operations_are_named_as_in_the_table(self):
        rows = table()
        for path, method, operation in operations():
            name = re.sub(r"\.(post|head)$", "", operation["operationId"])
            self.assertIn(name, {row for (url, _), (row, _) in rows.items() if url == path}, path)

    def test_no_token_is_documented_where_none_is_needed(self):
        for (path, method), (name, token) in table().items():
            if name in ("sys.metrics", "sys.posture"):  # while sealed only
                continue
            http = {"READ": "get", "LIST": "get", "WRITE": "post"}.get(method, method.lower())
            self.assertEqual(DOC["paths"][path][http].get("security") != [], token, f"{method} {path}")

    def test_key_types_are_those_of_the_algorithm_table(self):
        text = (lib.SRC / "docs/api.md").read_text()
        listed = [line for line in text[text.index("## Key types"):].split("\n## ")[0].splitlines() if line.startswith("| `") and "`type`" not in line]
        self.assertEqual(listed, key_types())


ERRORS = {"$ref": "#/components/schemas/Errors"}


class Running(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = lib.Server()
        cls.caller = Caller(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_every_operation_answers_as_documented(self):
        for walk in (walk_sys, walk_tokens, walk_approle, walk_cert, walk_transit, walk_kv, walk_audit):
            with self.subTest(walk.__name__):
                walk(self.caller, self.server)
        with self.subTest("walk_seal"), lib.Server("--dev-uninit") as server:
            other = Caller(server)
            walk_seal(other, server)
            self.caller.called |= other.called
        self.assertEqual(set(OPERATIONS) - self.caller.called, set(), "documented and never called")
        self.in_the_log(self.caller)

    def in_the_log(self, caller):
        """Every operation that was called stands in the audit log by its name, but for probes and for what was asked elsewhere."""
        audited = {name for name, audited in re.findall(r'\{"([\w.-]+)",\s*HF_ENGINE_[^{}]*?HF_AUDIT_(\w+)', TABLE) if audited != "NONE"}
        told, at, size = set(), 0, 1
        while at < size:
            answer = caller.send("GET", f"audit/entries?from={at}&limit=1000").data
            told |= {(e["detail"]["operation"], e["detail"]["outcome"]) for e in answer["entries"] if "detail" in e}
            at, size = at + len(answer["entries"]), answer["size"]
        here = {re.sub(r"\.(post|head)$", "", name) for name in caller.here}
        self.assertEqual({name for name in here & audited if (name, "OK") not in told}, set(), "done, and not in the log")
        self.assertGreater(len(here & audited), 100)
        self.assertTrue([outcome for name, outcome in told if name == "transit.decrypt" and outcome != "OK"], "a refusal is not in the log")

    def test_a_stranger_is_refused_wherever_a_token_is_documented(self):
        for name, (path, method, operation) in OPERATIONS.items():
            url = re.sub(r"\{(\w+)\}", lambda m: {"transit_mount": "transit", "kv_mount": "transit"}.get(m[1], "x"), path).removeprefix("/v1/")
            if operation.get("security") == [] or method == "head":
                continue
            answer = self.server.call(method.upper(), url, {} if method == "post" else None, token="")
            self.assertEqual(answer.status, 403, f"{name}: {answer.raw!r}")
            self.assertEqual(check(ERRORS, answer.json), [])

    def test_no_value_of_a_documented_field_is_the_servers_fault(self):
        """Each field of each operation with values of every kind: an answer below 500, in JSON, each time."""
        values = [None, -1, 1 << 62, "%", "a" * 300, [[]], {"a": 1}, [{"plaintext": 1}]]
        left_out = {"sys.seal", "sys.init", "sys.rotate", "sys.mounts.delete", "sys.auth.delete", "sys.health"}
        with lib.Server() as server:
            for method in ("approle", "cert"):
                server.post(f"sys/auth/{method}", {"type": method})
            server.post("transit/keys/x")
            server.post("auth/approle/role/x")
            server.post("secret/data/x", {"data": {"a": "b"}})
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=server.context(), timeout=60)
            count = 0
            for name, (path, method, operation) in OPERATIONS.items():
                if name in left_out or method == "head":
                    continue
                url = re.sub(r"\{(\w+)\}", lambda m: {"transit_mount": "transit", "kv_mount": "secret", "approle_mount": "approle",
                                                      "cert_mount": "cert"}.get(m[1], "x"), path)
                content = operation.get("requestBody", {}).get("content", {}).get("application/json")
                tries = [(url, {field: value}) for field in (resolve(content["schema"]).get("properties", {}) if content else ()) for value in values]
                tries += [(f"{url}?{p['name']}={value}", None) for p in parameters(operation) if p["in"] == "query"
                          for value in ("", "-1", "99999999999999999999", "x")]
                for target, body in tries:
                    connection.request(method.upper(), target, None if body is None else json.dumps(body), {"X-Vault-Token": server.token})
                    answer = connection.getresponse()
                    text = answer.read()
                    self.assertLess(answer.status, 500, f"{name} {target} {json.dumps(body)[:100]}: {text[:200]!r}")
                    if answer.status >= 400:
                        self.assertIsInstance(json.loads(text), dict, name)
                    count += 1
            connection.close()
            self.assertGreater(count, 2500)
            self.assertEqual(server.get("sys/health").status, 200)

    def test_an_undocumented_route_is_404_and_a_wrong_method_405(self):
        for path in ("sys/no-such", "transit/no-such/x", "auth/token/no-such", "audit/no-such", "no-such-mount/x", "sys/"):
            answer = self.server.get(path)
            self.assertEqual(answer.status, 404, path)
            self.assertEqual(check(ERRORS, answer.json), [])
        for method, path in (("DELETE", "transit/encrypt/x"), ("GET", "transit/encrypt/x"), ("PATCH", "sys/seal"), ("GET", "auth/token/create"),
                             ("POST", "audit/checkpoint"), ("DELETE", "sys/health")):
            answer = self.server.call(method, path)
            self.assertEqual(answer.status, 405, f"{method} {path}")
            self.assertEqual(check(ERRORS, answer.json), [])
        self.assertEqual(self.server.call("TRACE", "sys/health").status, 405)


if __name__ == "__main__":
    unittest.main()
