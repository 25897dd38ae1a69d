#!/usr/bin/env python3
"""The audit log of a running server, verified by a reader written from the specifications alone, from what the server
hands out; and by `holdfast audit verify` offline, with an entry altered, removed and put in."""
import base64
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import lib_tlog as tlog
from lib import BIN, Server, b64, skip, unb64

try:
    import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
except ImportError:
    skip("python3-cryptography is not there")

SECRET_NAME = "a-name-nobody-may-read"


def checkpoint(server, vkeys):
    note = server.get("audit/checkpoint?fresh=true").raw.decode()
    origin, size, root, verified = tlog.open_checkpoint(note, vkeys)
    assert "ed25519" in verified
    return note, size, root, verified


def fetch_export(server, size):
    data, at = b"", 0
    while at < size:
        answer = server.get(f"audit/export?from={at}&until={size}&limit=50")
        assert answer.status == 200, answer.raw
        page, _ = tlog.read_export(answer.raw)
        assert page, "an empty page before the end"
        data += answer.raw
        at += len(page)
    return data


def refuses(what, *args):
    try:
        what(*args)
    except (tlog.Bad, ValueError):
        return
    raise AssertionError(f"{what.__name__} took what it must refuse")


def verify_offline(folder, data, note, vkeys):
    (folder / "export").write_bytes(data)
    (folder / "checkpoint").write_text(note)
    (folder / "keys").write_text("\n".join(vkeys) + "\n")
    return subprocess.run([str(BIN / "holdfast"), "audit", "verify", "--export", str(folder / "export"), "--checkpoint",
                           str(folder / "checkpoint"), "--keys", str(folder / "keys")], capture_output=True, text=True)


def main():
    with Server() as server, tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        assert server.post(f"transit/keys/{SECRET_NAME}").status in (200, 204)
        first = server.post(f"transit/encrypt/{SECRET_NAME}", {"plaintext": b64(b"the quick brown fox")})
        assert first.status == 200
        for _ in range(40):
            server.post(f"transit/encrypt/{SECRET_NAME}", {"plaintext": b64(b"x")})
        assert server.post(f"transit/encrypt/{SECRET_NAME}", {"plaintext": b64(b"x")}, token="hvs.nobody").status == 403

        vkeys = server.get("audit/vkeys").raw.decode().splitlines()
        assert len(vkeys) == 2
        note, size, root, verified = checkpoint(server, vkeys)
        print(f"checkpoint of {size}: verified {', '.join(sorted(verified))}")
        refuses(tlog.open_checkpoint, note.replace(f"\n{size}\n", f"\n{size + 1}\n", 1), vkeys)

        # One operation, by the request id that its client was given.
        request_id = first.json["request_id"]
        proof = server.get(f"audit/proof/inclusion?request_id={request_id}").data
        leaf, index, path, its_note = tlog.open_proof(proof["proof"])
        _, its_size, its_root, _ = tlog.open_checkpoint(its_note, vkeys)
        assert leaf == unb64(proof["leaf"]) and index == proof["index"]
        tlog.check_inclusion(index, its_size, tlog.leaf_hash(leaf), path, its_root)
        refuses(tlog.check_inclusion, index + 1, its_size, tlog.leaf_hash(leaf), path, its_root)
        opening = unb64(proof["opening"])
        assert tlog.sha256(opening) == leaf[9:] and b"transit.encrypt" in opening

        # What was done is shown to those who may see it, names that clients chose only as keyed hashes.
        shown = [e for e in server.get(f"audit/entries?from={index}&limit=1").data["entries"]]
        assert shown[0]["detail"]["request_id"] == request_id and shown[0]["detail"]["outcome"] == "OK"
        hashed = server.post("sys/audit-hash/audit", {"input": f"transit/encrypt/{SECRET_NAME}"}).json["hash"]
        assert shown[0]["detail"]["path"] == hashed
        refused = [e for e in server.get("audit/entries?limit=200").data["entries"]
                   if e["detail"]["outcome"] == "DENIED" and e["detail"]["operation"] == "transit.encrypt"]
        assert refused, "the refusal is not in the log"

        # The same for someone who may read the path, and no more.
        server.put("sys/policies/acl/auditor", {"policy": 'path "audit/*" { capabilities = ["read"] }'})
        auditor = server.post("auth/token/create", {"policies": ["auditor"]}).json["auth"]["client_token"]
        blind = server.get(f"audit/entries?from={index}&limit=1", token=auditor).data["entries"][0]
        assert "detail" not in blind and "opening" not in blind and unb64(blind["leaf"]) == leaf
        nobody = server.post("auth/token/create", {"policies": ["default"]}).json["auth"]["client_token"]
        assert server.get("audit/entries", token=nobody).status == 403

        # The log grows, and only grows.
        note2, size2, root2, _ = checkpoint(server, vkeys)
        assert size2 > size
        grown = [unb64(n) for n in server.get(f"audit/proof/consistency?old={size}&new={size2}").data["path"]]
        tlog.check_consistency(size, size2, grown, root, root2)
        refuses(tlog.check_consistency, size, size2, grown, root2, root2)

        # A reader of tiles comes to the same root, from hashes and from entries.
        hashes, bundled = [], []
        for tile in range((size2 + 255) // 256):
            width = min(256, size2 - tile * 256)
            row = server.get("audit/" + tlog.tile_path(0, tile, width)).raw
            hashes += [row[i:i + 32] for i in range(0, len(row), 32)]
            bundle, at = server.get("audit/" + tlog.tile_path("entries", tile, width)).raw, 0
            while at < len(bundle):
                length = int.from_bytes(bundle[at:at + 2], "big")
                bundled.append(tlog.leaf_hash(bundle[at + 2:at + 2 + length]))
                at += 2 + length
        assert len(hashes) == size2 and tlog.tree_hash(hashes) == root2 and bundled == hashes

        # The whole log, offline.
        data = fetch_export(server, size2)
        entries, places = tlog.read_export(data)
        assert [e[0] for e in entries] == list(range(size2))
        assert tlog.tree_hash([tlog.leaf_hash(e[1]) for e in entries]) == root2
        assert all(tlog.sha256(e[2]) == e[1][9:] for e in entries if e[1][0] == 1)
        for secret in (SECRET_NAME.encode(), b"the quick brown fox", server.token.encode(),
                       base64.b64encode(b"the quick brown fox")):
            assert secret not in data

        if not (BIN / "holdfast").exists():
            print("the command is not built; its part is left out")
            return
        good = verify_offline(folder, data, note2, vkeys)
        assert good.returncode == 0, good.stdout + good.stderr

        # The same by the command, offline: nothing here asks a server.
        def offline(*args):
            return subprocess.run([str(BIN / "holdfast"), "audit", *args], capture_output=True, text=True,
                                  env={"PATH": "/usr/bin:/bin", "HOLDFAST_ADDR": "https://127.0.0.1:1"})
        files = ["--checkpoint", str(folder / "checkpoint"), "--keys", str(folder / "keys")]
        tail = offline("tail", "--export", str(folder / "export"), "--from", str(index), "--limit", "1")
        assert tail.returncode == 0 and request_id in tail.stdout and "transit.encrypt" in tail.stdout, tail
        made = offline("prove", "--export", str(folder / "export"), "--request", request_id, "--out",
                       str(folder / "one.tlog-proof"), *files)
        assert made.returncode == 0, made.stdout + made.stderr
        leaf2, index2, path2, note4 = tlog.open_proof((folder / "one.tlog-proof").read_text())
        assert leaf2 == leaf and index2 == index and note4 == note2
        tlog.check_inclusion(index, size2, tlog.leaf_hash(leaf), path2, root2)
        checked = offline("verify", "--proof", str(folder / "one.tlog-proof"), "--keys", str(folder / "keys"))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        changed = (folder / "one.tlog-proof").read_text().replace(f"index {index}\n", f"index {index ^ 1}\n")
        (folder / "one.tlog-proof").write_text(changed)
        assert offline("verify", "--proof", str(folder / "one.tlog-proof"), "--keys", str(folder / "keys")).returncode
        # And asking the server.
        online = server.command("audit", "prove", "--request", request_id, "--out", str(folder / "two.tlog-proof"))
        assert online.returncode == 0
        checked = offline("verify", "--proof", str(folder / "two.tlog-proof"), "--keys", str(folder / "keys"))
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert request_id in server.command("audit", "tail", "--from", str(index), "--limit", "1").stdout.decode()
        server.command("audit", "export", "--out", str(folder / "all"), "--checkpoint", str(folder / "all.cp"), "--keys",
                       str(folder / "all.keys"))
        assert offline("verify", "--export", str(folder / "all"), "--checkpoint", str(folder / "all.cp"), "--keys",
                       str(folder / "all.keys")).returncode == 0

        begin, end = places[17]
        altered = bytearray(data)
        altered[begin + 20] ^= 1
        bad = verify_offline(folder, bytes(altered), note2, vkeys)
        assert bad.returncode != 0 and "entry 17 was altered" in bad.stdout + bad.stderr, bad.stdout + bad.stderr
        count_at = 8 + 2 + len(note2.split("\n")[0])
        count = int.from_bytes(data[count_at:count_at + 4], "big")
        removed = bytearray(data[:begin] + data[end:])
        removed[count_at:count_at + 4] = (count - 1).to_bytes(4, "big")
        bad = verify_offline(folder, bytes(removed), note2, vkeys)
        assert bad.returncode != 0 and "entry 17 was removed" in bad.stdout + bad.stderr, bad.stdout + bad.stderr
        added = bytearray(data[:begin] + bytes(altered[begin:end]) + data[begin:])
        added[count_at:count_at + 4] = (count + 1).to_bytes(4, "big")
        bad = verify_offline(folder, bytes(added), note2, vkeys)
        assert bad.returncode != 0 and "before entry 17 something was put in" in bad.stdout + bad.stderr, bad.stdout
        forged = note2.replace(f"\n{size2}\n", f"\n{size2 - 1}\n", 1)
        assert verify_offline(folder, data, forged, vkeys).returncode != 0

        # After a restart it is the same log, grown. Taking it up again loses nothing that was answered.
        before = time.time()
        server.stop()
        server.start()
        note3, size3, root3, _ = checkpoint(server, vkeys) if server.get("audit/vkeys").status == 200 else (None,) * 4
        if note3 is not None:
            assert server.get("audit/vkeys").raw.decode().splitlines() == vkeys
            grown = [unb64(n) for n in server.get(f"audit/proof/consistency?old={size2}&new={size3}").data["path"]]
            tlog.check_consistency(size2, size3, grown, root2, root3)
            print(f"after a restart of {time.time() - before:.1f} s: {size3} entries, consistent")


if __name__ == "__main__":
    main()
    sys.exit(0)
