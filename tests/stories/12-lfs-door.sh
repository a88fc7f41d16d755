#!/bin/bash
# The LFS door against everything it must refuse: batch calls, links, bodies; and what is refused leaves
# nothing behind.
. "$(dirname "$0")/lib.sh.inc"
story "the LFS door"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up
export PORT
for name in alice bob carol; do add_user $name; done
export TOKEN_alice TOKEN_bob TOKEN_carol
for repo in alice/one alice/two carol/secret; do
	loam repo create $repo --owner ${repo%/*} >>"$DIR/commands.out" 2>&1
done
loam grant bob read alice/one 2>>"$DIR/commands.out"
pool() { find "$MNT/.loam/lfs" "$MNT/.loam/repos" -type f -path '*/*' -printf '%P %s %n\n' | sort; }

cat >"$DIR/lfs.py" <<'PY'
import os, sys, threading, time
from doors import *

alice = basic("alice", os.environ["TOKEN_alice"])
bob = basic("bob", os.environ["TOKEN_bob"])
carol = basic("carol", os.environ["TOKEN_carol"])


def entry_of(answer, index=0):
    return answer.json()["objects"][index]


def link(repo, operation, item, auth=alice, action=None):
    got = entry_of(batch(repo, operation, [item], auth))
    return path_of(got["actions"][action or operation]["href"]) if "actions" in got else None


def put(path, data, **headers):
    return call("PUT", path, {k.replace("_", "-"): v for k, v in headers.items()}, data)


def upload(repo, data, auth=alice):
    return put(link(repo, "upload", thing(data)[1], auth), data)


def document(answer, what):
    """An LFS error document: JSON with a message of one line and the request's id."""
    kind = dict((k.lower(), v) for k, v in answer.headers).get("content-type", "")
    check(True, kind.startswith(LFS), f"{what}: content type", kind)
    try:
        body = answer.json()
        check(True, bool(body["message"]) and "\n" not in body["message"], f"{what}: message", answer.body[:200])
        check(True, len(body["request_id"]) > 0, f"{what}: request id")
    except (ValueError, KeyError):
        failures.append(f"{what}: no error document: {answer.body[:200]}")
    check(True, len(answer.body) < 65536, f"{what}: its length")


def post(body, auth=alice, repo="alice/one", **headers):
    given = {"Accept": LFS, "Content-Type": LFS, "Authorization": auth}
    given.update({k.replace("_", "-"): v for k, v in headers.items()})
    return call("POST", f"/{repo}.git/info/lfs/objects/batch", given, body)


held = os.urandom(5000)
secret = os.urandom(7000)
check(200, upload("alice/one", held).status, "an upload")
check(200, upload("carol/secret", secret, carol).status, "an upload of carol's")
oid, item = thing(held)
secret_oid, secret_item = thing(secret)
fine = json.dumps({"operation": "download", "objects": [item]}).encode()

# lfs-1 to lfs-5, lfs-11, lfs-15, http-16: what the call itself may not be
zeros = b'{"operation":"download","objects":[' + b" " * (4 << 20) + b"]}"
for what, wanted, body in [
    ("not JSON", 400, b"hello"), ("truncated", 400, fine[:-5]), ("a BOM", 400, b"\xef\xbb\xbf" + fine),
    ("bytes after the value", 400, fine + b"x"), ("nothing", 400, b""), ("two values", 400, fine + fine),
    ("a member twice", 400, fine[:-1] + b',"operation":"upload"}'),
    ("an oid twice", 400, b'{"operation":"download","objects":[{"oid":"%s","oid":"x","size":1}]}' % oid.encode()),
    ("nested too deep", 400, b'{"operation":"download","x":' + b"[" * 100 + b"]" * 100 + b',"objects":[]}'),
    ("no object", 422, b"[]"), ("a number", 422, b"1"), ("no objects", 422, b'{"operation":"download"}'),
    ("an empty list", 422, b'{"operation":"download","objects":[]}'),
    ("operation delete", 422, fine.replace(b'"download"', b'"delete"')),
    ("operation absent", 422, b'{"objects":[{"oid":"%s","size":1}]}' % oid.encode()),
    ("operation a number", 422, fine.replace(b'"download"', b"7")),
    ("an object that is none", 422, b'{"operation":"download","objects":[7]}'),
    ("oid a number", 422, b'{"operation":"download","objects":[{"oid":7,"size":1}]}'),
    ("over 4 MiB", 413, zeros), ("ref ..", 422, fine[:-1] + b',"ref":{"name":"refs/heads/../../x"}}'),
    ("ref of 10 KiB", 422, fine[:-1] + b',"ref":{"name":"refs/heads/' + b"x" * 10240 + b'"}}'),
    ("ref null", 200, fine[:-1] + b',"ref":null}'), ("ref {}", 200, fine[:-1] + b',"ref":{}}'),
    ("ref main", 200, fine[:-1] + b',"ref":{"name":"main"}}'),
    ("only transfers we do not have", 422, fine[:-1] + b',"transfers":["tus"]}'),
    ("several transfers", 200, fine[:-1] + b',"transfers":["tus","basic"]}'),
    ("unknown members", 200, fine[:-1] + b',"future":{"a":[1]}}'),
    ("invalid UTF-8", 422, fine[:-1] + b',"x":"\xff"}'), ("a control byte", 422, fine[:-1] + b',"x":"\x01"}'),
    ("bytes that are no text", 400, b"\xff\xfe\x00"), ("a lone surrogate in a ref", 422, fine[:-1] + b',"ref":{"name":"refs/heads/\\ud800"}}'),
]:
    answer = post(body)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    check(True, answer.status in wanted, f"batch: {what} -> {wanted}", f"{answer.status} {answer.body[:200]}")
    if answer.status != 200:
        document(answer, f"batch: {what}")
thousand = [{"oid": "%064x" % i, "size": 1} for i in range(1001)]
answer = batch("alice/one", "download", thousand, alice)
check(413, answer.status, "1,001 objects", answer.body[:100])
document(answer, "1,001 objects")
answer = batch("alice/one", "download", thousand[:1000], alice)
check(1000, len(answer.json()["objects"]), "1,000 objects")
check(415, post(fine, Content_Type="text/html").status, "text/html")
check(406, post(fine, Accept="text/plain").status, "Accept: text/plain")
check(200, post(fine, Accept="*/*").status, "Accept: */*")
check(200, post(fine, Content_Type=LFS + "; charset=utf-8").status, "a charset")
import gzip
check(200, post(gzip.compress(fine), Content_Encoding="gzip").status, "gzip")
check(413, post(gzip.compress(b" " * (100 << 20)), Content_Encoding="gzip").status, "a bomb of 100 MiB")
head = f"POST /alice/one.git/info/lfs/objects/batch HTTP/1.1\r\nHost: h\r\nAuthorization: {alice}\r\n"
big = raw(head.encode() + b"Content-Length: 104857600\r\n\r\n" + b" " * (1 << 20))
check(True, big.startswith(b"HTTP/1.1 413 "), "100 MiB of JSON announced", big[:100])
big = raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * (1 << 20) + b"\r\n") * 6)
check(True, big.startswith(b"HTTP/1.1 413 "), "JSON without end in chunks", big[:100])

# lfs-4, lfs-6: what is wrong with one object is said in its entry; the others still move
bad = [oid.upper().replace("0", "A"), oid[:-1], oid + "0", "g" * 64, "../../x", "sha256:" + oid, "", "\0" * 64,
       oid[:-1] + "\0", "/" * 64]
answer = batch("alice/one", "download", [{"oid": o, "size": 1} for o in bad] + [item], alice)
check(200, answer.status, "a batch of bad oids", answer.body[:200])
for given, got in zip(bad, answer.json()["objects"]):
    check((given, 422), (got["oid"], got.get("error", {}).get("code")), f"oid {given[:20]!r}")
    check(False, "actions" in got, f"oid {given[:20]!r}: no action")
check(True, "actions" in entry_of(answer, len(bad)), "the good one among them")
for size in (-1, "5", None, 1.5, True):
    got = entry_of(batch("alice/one", "upload", [{"oid": "a" * 64, "size": size}], alice))
    check(422, got.get("error", {}).get("code"), f"size {size!r}", got)
got = batch("alice/one", "upload", [{"oid": "b" * 64, "size": 1}, {"oid": "b" * 64, "size": 2}], alice)
check([422, 422], [o.get("error", {}).get("code") for o in got.json()["objects"]], "one oid, two sizes")
got = entry_of(batch("alice/one", "upload", [{"oid": "b" * 64, "size": 1 << 50}], alice))
check(True, got.get("error", {}).get("code") in (422, 507), "over the object limit", got)
got = entry_of(batch("alice/one", "upload", [{"oid": "b" * 64, "size": (1 << 63) - 1}], alice))
check(True, got.get("error", {}).get("code") in (422, 507), "nearly 2^63", got)
got = entry_of(batch("alice/one", "upload", [dict(item, size=4999)], alice))
check(422, got.get("error", {}).get("code"), "held with another size", got)
got = entry_of(batch("alice/one", "upload", [item], alice))
check(False, "actions" in got or "error" in got, "held: no action, no error", got)
got = entry_of(batch("alice/one", "download", [item], alice, hash_algo="sha512"))
check(409, got["error"]["code"], "another hash", got)
check(200, batch("alice/one", "download", [item], alice, hash_algo="sha_256").status, "sha_256")

# lfs-7: another repository's object is as unknown as one that never was
unknown = dict(secret_item, oid="c" * 64)
mine = entry_of(batch("alice/one", "download", [secret_item], alice))
never = entry_of(batch("alice/one", "download", [unknown], alice))
check(404, mine["error"]["code"], "another repository's object")
check(dict(never, oid=""), dict(mine, oid=""), "it looks like an unknown one")
mine = entry_of(batch("alice/one", "upload", [secret_item], alice))
never = entry_of(batch("alice/one", "upload", [unknown], alice))
check(sorted(never), sorted(mine), "and so it does on upload")
check(sorted(never["actions"]), sorted(mine["actions"]), "with the same actions")
check(403, batch("alice/one", "upload", [thing(b"n")[1]], bob).status, "an upload by a reader")
check(404, batch("carol/secret", "download", [secret_item], bob).status, "a batch without right")
verify = path_of(mine["actions"]["verify"]["href"])
check(404, call("POST", verify, {"Content-Type": LFS}, json.dumps(secret_item)).status, "verify makes no link")
check(404, entry_of(batch("alice/one", "download", [secret_item], alice))["error"]["code"], "still not held")
# lfs-8: other bytes under a known oid
upload_link = path_of(mine["actions"]["upload"]["href"])
for what, data in [("other bytes", os.urandom(7000)), ("fewer", secret[:-1]), ("more", secret + b"x"), ("none", b"")]:
    answer = put(upload_link, data)
    check(400, answer.status, f"PUT of {what}", answer.body[:200])
    document(answer, f"PUT of {what}")
check(404, entry_of(batch("alice/one", "download", [secret_item], alice))["error"]["code"], "no link")
got = call("GET", link("carol/secret", "download", secret_item, carol))
check(secret, got.body, "the stored object is what it was")
# lfs-16 and framing of bodies
new = os.urandom(3000)
new_link = link("alice/one", "upload", thing(new)[1])
check(400, put(new_link, new, Content_Range="bytes 0-2999/3000").status, "Content-Range")
check(400, put(new_link, new[1000:], Content_Range="bytes 1000-2999/3000").status, "a resumed PUT")
for what, framing, body in [
    ("shorter than promised", b"Content-Length: 3000\r\n", new[:2000]),
    ("a chunked body that ends early", b"Transfer-Encoding: chunked\r\n", b"3e8\r\n" + new[:1000] + b"\r\n0\r\n\r\n"),
    ("a chunked body too long", b"Transfer-Encoding: chunked\r\n", b"c00\r\n" + new + new[:72] + b"\r\n0\r\n\r\n"),
    ("a chunked body without end", b"Transfer-Encoding: chunked\r\n", b"3e8\r\n" + new[:1000] + b"\r\n"),
]:
    answer = raw(f"PUT {new_link} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n".encode() + framing + b"\r\n" + body, half_close=True)
    check(True, answer == b"" or answer.startswith(b"HTTP/1.1 400 "), what, answer[:200])
check(404, entry_of(batch("alice/one", "download", [thing(new)[1]], alice))["error"]["code"], "nothing of it is held")
answer = raw(f"PUT {new_link} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
             + b"bb8\r\n" + new + b"\r\n0\r\n\r\n")
check(True, answer.startswith(b"HTTP/1.1 200 "), "a whole chunked body", answer[:200])
# lfs-9: links say method, repository, oid, size, who and until when, and hold for nothing else
good = link("alice/one", "download", item)
check(held, call("GET", good).body, "a download")
check(b"", call("HEAD", good).body, "HEAD")
from urllib.parse import parse_qs, urlencode
where, query = good.split("?")
fields = {k: v[0] for k, v in parse_qs(query).items()}
turned = lambda **more: where + "?" + urlencode(dict(fields, **more))
other_oid = thing(new)[0]
moves = [("expired", turned(exp="1700000000")), ("longer", turned(exp="9999999999")), ("of bob", turned(who="bob")),
         ("another size", turned(size="1")), ("another repository", good.replace("/alice/one/", "/alice/two/")),
         ("another kind", good.replace("/models/", "/datasets/")), ("another oid", good.replace(oid, other_oid)),
         ("no signature", where + "?" + urlencode({k: v for k, v in fields.items() if k != "sig"})),
         ("half a signature", turned(sig=fields["sig"][:32])), ("a wrong signature", turned(sig="0" * 64)),
         ("no query", where), ("fields twice", good + "&who=bob"), ("carol's", good.replace("/alice/one/", "/carol/secret/"))]
# 429: an address that brings one forged link after another is slowed down; its good links are not
refused = (403, 429)
for what, path in moves:
    got = call("GET", path)
    wanted = (200,) if path == good or (what == "fields twice" and got.body == held) else refused
    check(True, got.status in wanted, f"a link: {what}", f"{got.status} {got.body[:100]}")
    if got.status != 200:
        document(got, f"a link: {what}")
for method in ("PUT", "POST", "DELETE", "PATCH"):
    got = call(method, good, {}, held if method == "PUT" else None)
    check(held, call("GET", good).body, "a good link among forged ones")
    check(True, got.status in (403, 405, 429), f"a download's link with {method}", f"{got.status}")
check(True, call("GET", link("alice/one", "upload", thing(b"zz")[1])).status in refused, "an upload's link with GET")
check(True, call("PUT", link("alice/one", "upload", thing(b"zz")[1], action="verify").replace("/verify", ""), {}, b"zz").status in refused,
      "a verify's link with PUT")
for path in ("/_lfs/models/alice/one/" + oid, "/_lfs/models/alice/one/../two/" + oid + "?x", "/_lfs/models/alice/one/XYZ?sig=1",
             "/_lfs/models/nobody/none/" + oid):
    got = call("GET", path, {"Authorization": alice})
    check(True, got.status in (400, 404) + refused, "GET " + path, f"{got.status}")
# http-14: ranges
for text, wanted in [("bytes=5-2", 200), ("bytes=-0", 416), ("bytes=9000000000000000000-", 416), ("bytes=5000-", 416),
                     ("bytes=0-0", 206), ("bytes=4999-", 206), ("bytes=-1", 206), ("bytes=10-99999", 206),
                     ("bytes=0-1,2-3", 200), ("bytes=" + ",".join(["0-1"] * 1000), 200), ("lines=1-2", 200), ("bytes=x-y", 200)]:
    got = call("GET", good, {"Range": text})
    allowed = (wanted, 416) if wanted == 200 else (wanted,)
    check(True, got.status in allowed, f"Range {text[:30]}", f"{got.status}")
    if got.status == 200:
        check(held, got.body, f"Range {text[:30]}: the whole")
    if got.status == 206:
        total = dict((k.lower(), v) for k, v in got.headers)["content-range"]
        first, last = total[len("bytes "):total.index("/")].split("-")
        check(held[int(first):int(last) + 1], got.body, f"Range {text[:30]}: {total}")
# verify
def ask_verify(path, body):
    return call("POST", path, {"Content-Type": LFS, "Accept": LFS}, body).status
new2 = os.urandom(100)
new2_oid, new2_item = thing(new2)
got = entry_of(batch("alice/one", "upload", [new2_item], alice))["actions"]
check(404, ask_verify(path_of(got["verify"]["href"]), json.dumps(new2_item)), "verify before the upload")
check(200, put(path_of(got["upload"]["href"]), new2).status, "the upload")
check(200, ask_verify(path_of(got["verify"]["href"]), json.dumps(new2_item)), "verify")
check(422, ask_verify(path_of(got["verify"]["href"]), json.dumps(dict(new2_item, size=99))), "verify, another size")
check(422, ask_verify(path_of(got["verify"]["href"]), json.dumps(item)), "verify, another object")
check(400, ask_verify(path_of(got["verify"]["href"]), "no JSON"), "verify, no JSON")
check(200, put(path_of(got["upload"]["href"]), new2).status, "the same upload again")
# the empty object
got = entry_of(batch("alice/one", "upload", [thing(b"")[1]], alice))
if "actions" in got:
    check(200, put(path_of(got["actions"]["upload"]["href"]), b"").status, "the empty object")
# lfs-10: twenty at once, one of them cut
crowd = os.urandom(300000)
crowd_link = link("alice/one", "upload", thing(crowd)[1])
statuses = []


def one(number):
    if number == 7:
        raw(f"PUT {crowd_link} HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n".encode() + crowd[:150000], half_close=True, timeout=2)
        return
    statuses.append(put(crowd_link, crowd).status)


threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
[t.start() for t in threads]
[t.join() for t in threads]
check([200] * 19, statuses, "twenty uploads of one object")
check(crowd, call("GET", link("alice/one", "download", thing(crowd)[1])).body, "and its bytes")
# locks
locks = "/alice/one.git/info/lfs/locks"
given = {"Authorization": alice, "Accept": LFS, "Content-Type": LFS}
check(200, call("GET", locks, given).status, "locks")
check(422, call("GET", locks + "?limit=-1", given).status, "limit -1")
check(422, call("GET", locks + "?cursor=garbage", given).status, "a cursor")
check(200, call("GET", locks + "?limit=1000000000", given).status, "limit 10^9")
check(404, call("POST", locks + "/7/unlock", given, b"{}").status, "unlock")
check(201, call("POST", locks, given, b'{"path":"a"}').status, "lock")
check(409, call("POST", locks, given, b'{"path":"a"}').status, "the same lock again")
check(422, call("POST", locks, given, b'{"path":"../a"}').status, "a lock outside the repository")
end()
PY
pool >"$DIR/pool.before"
step "batch calls, links, bodies, ranges"
python3 "$DIR/lfs.py" || fail "the LFS door"

step "what was refused left nothing: three objects of alice's, one of carol's"
pool | grep -oE '[0-9a-f]{64} [0-9]+ [0-9]+$' | sort >"$DIR/pool"
for i in $(seq 50); do
	[ -z "$(find "$MNT/.loam/staging" -mindepth 2 -type f 2>/dev/null)" ] && break
	sleep 0.1
done
find "$MNT/.loam/staging" -mindepth 2 -type f | grep . && fail "staging holds something"
awk '$3 != 2 { print "link count: " $0; bad = 1 } END { exit bad }' "$DIR/pool" || fail "link counts"
[ "$(awk '{ print $1 }' "$DIR/pool" | sort -u | wc -l)" -le 6 ] || fail "objects: $(cat "$DIR/pool")"

step "git lfs: another repository's object is not to be had by its pointer"
oid=$(awk '$2 == 7000 { print $1; exit }' "$DIR/pool")
clone_as alice alice/two "$DIR/home/alice/two"
cd "$DIR/home/alice/two"
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 7000\n' "$oid" | as alice tee stolen.bin >/dev/null
as alice git add stolen.bin
as alice git commit -qm stolen
must_fail as alice git push --no-verify origin main
grep -q "object $oid of stolen.bin is missing" "$DIR/refused.out" || fail "$(cat "$DIR/refused.out")"
must_fail as alice git push origin main
cd /
[ -z "$(ls -A "$MNT/models/alice/two")" ] || fail "the mount shows something"
check_volume
