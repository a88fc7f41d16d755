#!/bin/bash
# Raw bytes against the real server: framing, limits, TLS, passwords over plain HTTP, a graceful end, and
# who may not be started twice.
. "$(dirname "$0")/lib.sh.inc"
story "the HTTP door"
export PYTHONPATH=$LOAM_SOURCE/tests/stories PYTHONDONTWRITEBYTECODE=1
start_up --no-mount
export PORT
add_user alice
export TOKEN_alice
loam repo create alice/model --owner alice >>"$DIR/commands.out" 2>&1
expect 200 "$(http_status "$URL/healthz")" "healthz"

step "http-1 to http-16, as a client without manners would send them"
cat >"$DIR/door.py" <<'PY'
import os
from doors import *

H = "Host: h\r\n"
auth = basic("alice", os.environ["TOKEN_alice"])
REFS = "/alice/model.git/info/refs?service=git-upload-pack"


def status(answer):
    line = answer.split(b"\r\n")[0].split(b" ")
    return int(line[1]) if len(line) > 1 and line[0].startswith(b"HTTP/") else answer[:60]


def ask(text, wanted, what, once=True):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    answer = raw(data, half_close=True)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    check(True, status(answer) in wanted, what, f"{wanted}: {answer[:200]}")
    if once:  # what follows an error is not read as a request
        check(1, answer.count(b"HTTP/1.1 "), what + ": one answer", answer[:400])
    check(False, b"root:x:" in answer, what)


GET = "GET /healthz HTTP/1.1\r\n"
NEXT = GET + H + "\r\n"
ask(GET + "\r\n" + NEXT, 400, "no Host")
ask(GET + H + H + "\r\n" + NEXT, 400, "two Hosts")
ask(GET + "Host: a b\r\n\r\n" + NEXT, 400, "Host a b")
POST = "POST /alice/model.git/git-upload-pack HTTP/1.1\r\n" + H + f"Authorization: {auth}\r\nContent-Type: application/x-git-upload-pack-request\r\n"
for both in ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"):
    ask(POST + both + "\r\n0\r\n\r\n" + NEXT, 400, "length and coding")
for length in ("+5", "-1", "0x10", "5 5", "", "18446744073709551616", "18446744073709551615", "5,5"):
    ask(POST + f"Content-Length: {length}\r\n\r\n0000" + NEXT, (400, 413), f"Content-Length {length!r}")
for size in ("0x5", "+5", "-1", "1_0", "0" * 16 + "5" * 17, "fffffffffffffffff", "zz", ""):
    ask(POST + f"Transfer-Encoding: chunked\r\n\r\n{size}\r\n00000\r\n0\r\n\r\n" + NEXT, 400, f"chunk size {size!r}")
ask(POST + "Transfer-Encoding: chunked\r\n\r\n4\r\n0000XX0\r\n\r\n" + NEXT, 400, "a chunk without its CRLF")
for coding in ("gzip", "gzip, chunked", "chunked, chunked", "identity"):
    ask(POST + f"Transfer-Encoding: {coding}\r\n\r\n0\r\n\r\n" + NEXT, 400, f"Transfer-Encoding {coding}")
for line in ("X : y", "X\ty: y", "X\0: y", "X\xe9: y", "X: y\r\n folded", "X: a\0b", ": y", "nothing"):
    ask(GET + H + line + "\r\n\r\n" + NEXT, 400, f"header {line!r}")
for path in ("/a/../../etc/passwd", "/%2e%2e/x", "/a/..%5cb", "/a/%252e%252e/b", "/a%00b", "//healthz", "/alice%2fmodel.git/info/refs",
             "/alice/model.git/../../healthz", "/alice/./model.git/info/refs", "/a\\b", "/%zz"):
    ask(f"GET {path} HTTP/1.1\r\n" + H + "Connection: close\r\n\r\n", 400, f"path {path}")
ask("GET http://evil.example/healthz HTTP/1.1\r\n" + H + "\r\n" + NEXT, 400, "another host's target")
ask("GET h:80 HTTP/1.1\r\n" + H + "\r\n" + NEXT, 400, "authority form")
ask("OPTIONS * HTTP/1.1\r\n" + H + "Connection: close\r\n\r\n", 204, "OPTIONS *")
for version in ("HTTP/0.9", "HTTP/1.10", "HTTP/2.0", "HTP/1.1"):
    ask(f"GET /healthz {version}\r\n" + H + "\r\n" + NEXT, (400, 505), version)
ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), "the preface of HTTP/2")
ask(POST + "Content-Length: 4\r\nExpect: foo\r\n\r\n0000" + NEXT, 417, "Expect: foo")
ask("POST /alice/model.git/git-receive-pack HTTP/1.1\r\n" + H + "Content-Type: application/x-git-receive-pack-request\r\n"
    "Content-Length: 90000000\r\nExpect: 100-continue\r\n\r\n", 401, "an upload that is refused is not continued")
import gzip
bomb = gzip.compress(b"0" * (64 << 20))
ask(POST.encode() + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb, 413, "a gzip bomb")
ask(POST + "Content-Encoding: br\r\nContent-Length: 4\r\n\r\n0000" + NEXT, 415, "br", once=False)
for number, value in enumerate(("Basic !!!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Basic " + base64.b64encode(b"a\0b:c").decode(),
                                "Basic " + "QUFB" * 3000, "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode(), "Basic", "Bearer ", "Digest x")):
    got = call("GET", REFS, {"Authorization": value}, source=fresh_address())
    check(401, got.status, f"Authorization {value[:30]!r}", got.body[:200])
    if number < 5 or number > 5:
        check(b"wrong user name, password or token\n", got.body, f"Authorization {value[:30]!r}: one fixed line")
token = os.environ["TOKEN_alice"]
for target in (REFS + "&token=" + token, REFS + "&access_token=" + token, f"/alice:{token}@model.git/info/refs?service=git-upload-pack"):
    got = call("GET", target)
    check(True, got.status in (401, 404), "a token in the URL", f"{got.status}")
surplus = raw((POST + "Content-Length: 4\r\n\r\n0000GET /alice/model.git/info/refs?service=git-upload-pack HTTP/1.1\r\n" + H
               + "Connection: close\r\n\r\n").encode())
check([200, 401], [int(p.split(b" ")[0]) for p in surplus.split(b"HTTP/1.1 ")[1:]], "a surplus is a request of its own", surplus[:300])
ask("GET /" + "a" * 9000 + " HTTP/1.1\r\n" + H + "\r\n" + NEXT, 414, "a line of 9,000 bytes")
ask(GET + H + "X: " + "a" * 33000 + "\r\n\r\n" + NEXT, 431, "headers of 33,000 bytes")
ask(GET + H + "".join(f"X-{i}: y\r\n" for i in range(100)) + "\r\n" + NEXT, 431, "101 headers")
for method in ("DELETE", "PUT", "PATCH"):
    ask(f"{method} /healthz HTTP/1.1\r\n" + H + "Connection: close\r\n\r\n", 405, method)
ask("BREW /healthz HTTP/1.1\r\n" + H + "\r\n" + NEXT, 501, "BREW")
ask("GET /nowhere HTTP/1.1\r\n" + H + "Connection: close\r\n\r\n", 404, "nowhere")
for junk in (b"\0" * 1000, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100, b"\r\n" * 100, b"A" * 200000, os.urandom(5000)):
    raw(junk, half_close=True)
got = call("HEAD", "/healthz")
check((200, b""), (got.status, got.body), "HEAD")
check(200, call("GET", REFS, {"Authorization": auth}).status, "others are served on")
names = {k.lower() for k, _ in call("GET", "/nowhere").headers}
check(True, {"x-request-id", "x-content-type-options"} <= names, "headers of every answer", names)
check(False, "set-cookie" in names, "no cookies")
# slow heads: no longer than ten seconds; many idle connections do not stop others
import socket, time
slow = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(30)]
for link in slow:
    link.sendall(b"GET /healthz HTTP/1.1\r\nHo")
began = time.time()
check(200, call("GET", "/healthz").status, "health beside 30 slow heads")
check(True, time.time() - began < 3, "soon enough")
slow[0].settimeout(14)
late = slow[0].recv(4096)
check(True, late.startswith(b"HTTP/1.1 408 "), "a head over 10 s", late[:80])
end()
PY
python3 "$DIR/door.py" || fail "the HTTP door"

step "who is served already is not served again: the holder's pid is told"
serve=$(child_pid serve)
must_fail timeout 20 loam serve --listen 127.0.0.1:0
grep -q "served already, by process $serve" "$DIR/refused.out" || fail "a second serve: $(cat "$DIR/refused.out")"
must_fail timeout 20 loam serve --listen "127.0.0.1:$PORT" --repos "$DIR/v/git2"
grep -qE "$PORT|in use" "$DIR/refused.out" || fail "a taken port: $(cat "$DIR/refused.out")"
must_fail timeout 20 loam up --dir "$DIR/v" --listen 127.0.0.1:0
grep -q "as process $UP_PID" "$DIR/refused.out" || fail "a second up: $(cat "$DIR/refused.out")"
expect 200 "$(http_status "$URL/healthz")" "the first one lives on"

step "a running download and a running upload finish behind SIGTERM, new work is refused"
head -c 30000000 /dev/urandom >"$DIR/object"
oid=$(sha256sum "$DIR/object" | cut -d' ' -f1)
ask_batch() # OPERATION OID SIZE: the link
{
	curl -sf -u "alice:$TOKEN_alice" -H 'Content-Type: application/vnd.git-lfs+json' \
		-d '{"operation":"'"$1"'","objects":[{"oid":"'"$2"'","size":'"$3"'}]}' \
		"$URL/alice/model.git/info/lfs/objects/batch" |
		python3 -c 'import json, sys; print(json.load(sys.stdin)["objects"][0]["actions"][sys.argv[1]]["href"])' "$1"
}
expect 200 "$(http_status -T "$DIR/object" "$(ask_batch upload "$oid" 30000000)")" "an upload"
head -c 12000000 "$DIR/object" >"$DIR/object2"
oid2=$(sha256sum "$DIR/object2" | cut -d' ' -f1)
get=$(ask_batch download "$oid" 30000000) put=$(ask_batch upload "$oid2" 12000000)
curl -s --limit-rate 8M -o "$DIR/got" -w '%{http_code}' "$get" >"$DIR/get.status" &
getting=$!
curl -s --limit-rate 4M -o /dev/null -T "$DIR/object2" -w '%{http_code}' "$put" >"$DIR/put.status" &
putting=$!
sleep 1
kill -STOP "$UP_PID" # so that it does not start another one behind us
kill -TERM "$serve"
sleep 0.5
status=$(http_status --max-time 5 "$URL/alice/model.git/info/refs?service=git-upload-pack" || true)
[ "$status" = 503 ] || [ "$status" = 000 ] || fail "new work while stopping: $status"
wait $getting || fail "the download was cut: $(cat "$DIR/get.status")"
wait $putting || fail "the upload was cut: $(cat "$DIR/put.status")"
[ "$(cat "$DIR/get.status" "$DIR/put.status")" = 200200 ] || fail "statuses: $(cat "$DIR/get.status" "$DIR/put.status")"
cmp "$DIR/got" "$DIR/object" || fail "the download's bytes"
for i in $(seq 100); do
	grep -q 'State:.Z' "/proc/$serve/status" 2>/dev/null && break
	kill -0 "$serve" 2>/dev/null || break
	sleep 0.1
done
[ "$i" -lt 100 ] || fail "serve does not end"
kill -CONT "$UP_PID"
wait_healthy
cmp <(curl -s "$(ask_batch download "$oid2" 12000000)") "$DIR/object2" || fail "the upload's bytes"

step "passwords over plain HTTP: from this machine only"
stop_up
other=$(hostname -I 2>/dev/null | tr ' ' '\n' | grep -vE '^127\.|:' | head -n 1)
if [ -n "$other" ]; then
	start_up --no-mount --listen "0.0.0.0:$PORT"
	far=http://$other:$PORT
	expect 200 "$(http_status "$far/healthz")" "healthz from elsewhere"
	expect 403 "$(http_status -u "alice:$TOKEN_alice" "$far/alice/model.git/info/refs?service=git-upload-pack")" "a token over plain HTTP"
	grep -q 'server.plainHttp' "$DIR/http.out" && grep -q -- '--tls-cert' "$DIR/http.out" || fail "the hint: $(cat "$DIR/http.out")"
	expect 403 "$(http_status "$far/alice/model.git/info/refs?service=git-upload-pack")" "no challenge over plain HTTP"
	expect 403 "$(http_status -u "alice:$TOKEN_alice" -H 'X-Forwarded-For: 127.0.0.1' -H 'X-Forwarded-Proto: https' \
		"$far/alice/model.git/info/refs?service=git-upload-pack")" "who is no trusted proxy says https"
	must_fail git ls-remote "http://alice:$TOKEN_alice@$other:$PORT/alice/model.git"
	grep -q 'remote: .*--tls-cert' "$DIR/refused.out" || fail "git's user reads no hint: $(cat "$DIR/refused.out")"
	stop_up
	git config --file "$LOAM_CONFIG" server.trustedProxy "$other"
	start_up --no-mount --listen "0.0.0.0:$PORT"
	expect 200 "$(http_status -u "alice:$TOKEN_alice" -H 'X-Forwarded-For: 203.0.113.9' -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-Host: hub.example' \
		"$far/alice/model.git/info/refs?service=git-upload-pack")" "a trusted proxy"
	curl -s -u "alice:$TOKEN_alice" -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-Host: hub.example' -H 'Content-Type: application/vnd.git-lfs+json' \
		-d '{"operation":"download","objects":[{"oid":"'"$oid"'","size":30000000}]}' "$far/alice/model.git/info/lfs/objects/batch" |
		grep -q '"https://hub.example/_lfs/' || fail "links are not as the client sees the server"
	stop_up
	git config --file "$LOAM_CONFIG" --unset server.trustedProxy
	git config --file "$LOAM_CONFIG" server.plainHttp true
	start_up --no-mount --listen "0.0.0.0:$PORT"
	expect 200 "$(http_status -u "alice:$TOKEN_alice" "$far/alice/model.git/info/refs?service=git-upload-pack")" "server.plainHttp"
	stop_up
	git config --file "$LOAM_CONFIG" --unset server.plainHttp
else
	echo "no address but loopback: left out"
fi

step "TLS"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
	-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>>"$DIR/commands.out"
git config --file "$LOAM_CONFIG" server.tlsCert "$DIR/cert.pem"
git config --file "$LOAM_CONFIG" server.tlsKey "$DIR/key.pem"
start_up --no-mount
URL=https://localhost:$PORT
for i in $(seq 100); do
	[ "$(http_status --cacert "$DIR/cert.pem" "$URL/healthz" || true)" = 200 ] && break
	sleep 0.1
done
expect 200 "$(http_status --cacert "$DIR/cert.pem" "$URL/healthz")" "healthz over TLS"
expect 200 "$(http_status --cacert "$DIR/cert.pem" -u "alice:$TOKEN_alice" "$URL/alice/model.git/info/refs?service=git-upload-pack")" "a token over TLS"
must_fail curl -s --cacert "$DIR/cert.pem" --tls-max 1.1 "$URL/healthz"
must_fail curl -s --max-time 5 "http://localhost:$PORT/healthz"
export GIT_SSL_CAINFO=$DIR/cert.pem
git clone -q "https://alice:$TOKEN_alice@localhost:$PORT/alice/model.git" "$DIR/clone" 2>"$DIR/clone.out" || fail "a clone over TLS: $(cat "$DIR/clone.out")"
cd "$DIR/clone"
git lfs install --local >/dev/null
git lfs track '*.bin' >/dev/null
head -c 100000 /dev/urandom >w.bin
git add .
git commit -qm one
git push -q origin HEAD:main >"$DIR/push.out" 2>&1 || fail "a push over TLS: $(cat "$DIR/push.out")"
cd /
check_volume
stop_up
must_fail loam serve --listen 127.0.0.1:0 --tls-cert "$DIR/key.pem" --tls-key "$DIR/key.pem"
