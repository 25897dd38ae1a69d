"""A verifier of transparency logs, written from the specifications alone (RFC 9162, c2sp.org/signed-note, tlog-checkpoint,
tlog-cosignature, tlog-proof, tlog-tiles), to hold Holdfast's audit log against. Nothing of Holdfast's code is in it."""
import base64
import hashlib
import struct

ED25519, MLDSA44 = 0x01, 0x06


class Bad(Exception):
    pass


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# ---- Merkle trees, RFC 9162 section 2.1 ----

def leaf_hash(entry):
    return sha256(b"\x00", entry)


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def tree_hash(leaves):
    if not leaves:
        return sha256()
    row = list(leaves)  # pairing neighbours and carrying the odd one up gives the same tree
    while len(row) > 1:
        row = [node_hash(*row[i:i + 2]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def check_inclusion(index, size, leaf, path, root):
    if not 0 <= index < size:
        raise Bad("index out of the tree")
    first, last, at = index, size - 1, leaf
    for node in path:
        if last == 0:
            raise Bad("path too long")
        if first & 1 or first == last:
            at = node_hash(node, at)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            at = node_hash(at, node)
        first, last = first >> 1, last >> 1
    if last or at != root:
        raise Bad("inclusion does not hold")


def check_consistency(old_size, size, path, old_root, root):
    if not 0 < old_size <= size:
        raise Bad("sizes")
    if old_size == size:
        if path or old_root != root:
            raise Bad("consistency does not hold")
        return
    path = list(path)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)
    first, last = old_size - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = path[0]
    for node in path[1:]:
        if last == 0:
            raise Bad("path too long")
        if first & 1 or first == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, node)
        first, last = first >> 1, last >> 1
    if last or before != old_root or after != root:
        raise Bad("consistency does not hold")


# ---- notes ----

def read_vkey(text):
    name, key_id, material = text.split("+", 2)
    raw = base64.b64decode(material, validate=True)
    if sha256(name.encode(), b"\n", raw)[:4].hex() != key_id:
        raise Bad("key id")
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def verify_mldsa44(public, message, signature):
    """True where it was verified, False where this Python cannot."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
        key = MLDSA44PublicKey.from_public_bytes(public)
    except Exception:  # an older library, or one without the algorithm
        return False
    key.verify(signature, message)
    return True


def open_checkpoint(note, vkeys):
    """origin, size, root, and which kinds of signature were really verified. Each key of vkeys must have signed."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    text, _, lines = note.rpartition("\n\n")
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    if size != str(int(size)):
        raise Bad("size")
    root = base64.b64decode(root, validate=True)
    signatures = {}
    for line in lines.splitlines():
        dash, name, blob = line.split(" ")
        if dash != "\u2014":
            raise Bad("signature line")
        raw = base64.b64decode(blob, validate=True)
        signatures[(name, raw[:4])] = raw[4:]
    verified = set()
    try:
        for name, key_id, kind, public in map(read_vkey, vkeys):
            signature = signatures.get((name, key_id))
            if signature is None:
                raise Bad("a signature is missing")
            if kind == ED25519:
                Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
                verified.add("ed25519")
            elif kind == MLDSA44:
                timestamp = signature[:8]
                message = (b"subtree/v1\n\0" + bytes([len(name)]) + name.encode() + timestamp + bytes([len(origin)]) +
                           origin.encode() + struct.pack(">QQ", 0, int(size)) + root)
                if len(signature) != 8 + 2420 or len(public) != 1312:
                    raise Bad("sizes of ML-DSA-44")
                if verify_mldsa44(public, message, signature[8:]):
                    verified.add("ml-dsa-44")
            else:
                raise Bad("key type")
    except InvalidSignature:
        raise Bad("signature")
    return origin, int(size), root, verified


def open_proof(text):
    """leaf or None, index, path, checkpoint note"""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise Bad("not a proof")
    leaf = base64.b64decode(lines.pop(0)[6:]) if lines[0].startswith("extra ") else None
    index = lines.pop(0)
    if not index.startswith("index "):
        raise Bad("no index")
    return leaf, int(index[6:]), [base64.b64decode(line) for line in lines], note


def tile_path(level, index, width):
    digits = f"{index:03d}"
    while len(digits) % 3:
        digits = "0" + digits
    groups = [digits[i:i + 3] for i in range(0, len(digits), 3)]
    return f"tile/{level}/" + "/".join(["x" + g for g in groups[:-1]] + groups[-1:]) + (f".p/{width}" if width < 256 else "")


# ---- Holdfast's own: the export (docs/audit.md) ----

def read_export(data):
    """[(index, leaf, opening)], and where each entry's bytes lie"""
    entries, places, at = [], [], 0
    while at < len(data):
        if data[at:at + 8] != b"HFAUDIT1":
            raise Bad("no export")
        at += 8
        at += 2 + struct.unpack_from(">H", data, at)[0]
        count, hashes, before = struct.unpack_from(">IIQ", data, at)
        at += 16 + 32 * bin(before).count("1")
        for _ in range(count):
            begin = at
            index, leaf = struct.unpack_from(">Q41s", data, at)
            size = struct.unpack_from(">H", data, at + 49)[0]
            entries.append((index, leaf, data[at + 51:at + 51 + size]))
            at += 51 + size
            places.append((begin, at))
        at += 32 * hashes
    return entries, places
