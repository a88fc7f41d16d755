#!/bin/bash
# The client against servers that lie: its password and token go to the host that was named and to no
# other, answers are bounded, and what is said in one line is no stack of JSON.
. "$(dirname "$0")/lib.sh.inc"
story "servers that are none"
cat >"$DIR/liar.py" <<'PY'
import http.server, json, ssl, sys, threading
log = open(sys.argv[1], "a", buffering=1)


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        log.write(f"{self.server.name} {self.command} {self.path} {self.headers.get('Authorization')}\n")
        mode, body, status, extra = self.server.name, b"{}", 200, {}
        if mode == "redirects":
            status, extra = 302, {"Location": f"http://127.0.0.1:{ports['catcher']}{self.path}"}
        elif mode == "endless":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True
            return
        elif mode == "html":
            body, status = b"<html>log in here</html>", 200
        elif mode == "escapes":
            body, status = json.dumps({"message": "a\x1b[31mb\nc"}).encode(), 403
        elif mode == "odd":
            body = json.dumps({"name": 7, "token": ["x"]}).encode()
        elif mode == "long":
            body = json.dumps({"name": "a" * 5000, "token": "b" * 5000, "id": "c"}).encode()
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


ports = {}
for name in ("catcher", "redirects", "endless", "html", "escapes", "odd", "long", "tls"):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.name = name
    if name == "tls":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    ports[name] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
json.dump(ports, open(sys.argv[3] + ".new", "w"))
import os
os.rename(sys.argv[3] + ".new", sys.argv[3])
threading.Event().wait()
PY
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout "$DIR/key.pem" \
	-out "$DIR/cert.pem" 2>/dev/null
cat "$DIR/key.pem" "$DIR/cert.pem" >"$DIR/both.pem"
python3 "$DIR/liar.py" "$DIR/heard" "$DIR/both.pem" "$DIR/ports" &
liar=$!
for i in $(seq 200); do
	[ -e "$DIR/ports" ] && break
	sleep 0.1
done
port() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$DIR/ports" "$1"; }
: >"$DIR/empty.conf"
export LOAM_CONFIG=$DIR/empty.conf XDG_CONFIG_HOME=$DIR/config
unset LOAM_META http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
SECRET="a password that nobody shall hear"
TOKEN=hf_$(printf '%043d' 0)
TOKEN=$TOKEN$(python3 -c '
import sys, zlib
crc, digits = zlib.crc32(sys.argv[1][3:].encode()), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
out = ""
for _ in range(6):
    out, crc = digits[crc % 62] + out, crc // 62
print(out)' "$TOKEN")
login() { # MODE SECRET: must fail with one line
	STATUS=0
	timeout 60 loam login "http://127.0.0.1:$(port "$1")" --user alice >"$DIR/out" 2>"$DIR/err" <<<"$2" || STATUS=$?
	[ "$STATUS" = 1 ] && [ ! -s "$DIR/out" ] || fail "login at '$1': $STATUS $(cat "$DIR/out" "$DIR/err")"
	[ "$(wc -l <"$DIR/err")" = 1 ] || fail "login at '$1': more than one line: $(cat -v "$DIR/err")"
	LC_ALL=C grep -q $'[\001-\010\013-\037]' "$DIR/err" && fail "login at '$1' shows control bytes: $(cat -v "$DIR/err")"
	[ ! -e "$DIR/config/loam/logins.json" ] || fail "login at '$1' left a login"
	grep -qF -- "$2" "$DIR/err" && fail "login at '$1' shows the secret"
	return 0
}

step "logins at what is no server"
for mode in redirects endless html escapes odd long; do
	for secret in "$SECRET" "$TOKEN"; do
		login $mode "$secret"
	done
done
grep -q ^redirects "$DIR/heard" || fail "the redirecting server was never asked"
grep -q ^catcher "$DIR/heard" && fail "a redirect was followed: $(cat "$DIR/heard")"

for name in http_proxy all_proxy ALL_PROXY; do
	export $name="http://127.0.0.1:$(port catcher)"
	login html "$SECRET"
	unset $name
done
grep -q ^catcher "$DIR/heard" && fail "a proxy heard it: $(cat "$DIR/heard")"

step "a stored login goes to its own server only, and a lie there is an error"
mkdir -p -m 700 "$DIR/config/loam"
stored() { # MODE
	python3 - "$DIR/config/loam/logins.json" "http://127.0.0.1:$(port "$1")" "$TOKEN" <<'PY'
import json, os, sys
path, server, token = sys.argv[1:]
fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
os.write(fd, json.dumps([{"server": server, "user": "alice", "token": token, "id": "", "plain": False}]).encode())
PY
}
for mode in redirects endless html escapes odd; do
	stored $mode
	for words in "repo list" "repo show alice/model" "repo create alice/model" "whoami" "group list" "user token"; do
		STATUS=0
		timeout 60 loam $words >"$DIR/out" 2>"$DIR/err" || STATUS=$?
		[ "$STATUS" -le 1 ] || fail "loam $words at '$mode': $STATUS $(cat "$DIR/err")"
		[ $mode = odd ] || [ "$STATUS" = 1 ] || fail "loam $words at '$mode' succeeded: $(head -c 300 "$DIR/out")"
	done
done
grep -q ^catcher "$DIR/heard" && fail "a redirect was followed: $(cat "$DIR/heard")"
grep -F "Bearer $TOKEN" "$DIR/heard" | says -v '^\(redirects\|endless\|html\|escapes\|odd\|long\) ' && fail "the token went elsewhere"

step "git's helper answers for its server only"
stored html
ask() { printf 'protocol=%s\nhost=%s\n\n' "$1" "$2" | loam credential "$3"; }
[ "$(ask http "127.0.0.1:$(port html)" get)" = "username=alice
password=$TOKEN" ] || fail "credential get"
for other in "http 127.0.0.1:$(port odd)" "https 127.0.0.1:$(port html)" "http example.org" "ftp x" "http a@b" "http "; do
	[ -z "$(ask ${other% *} "${other#* }" get)" ] || fail "credential get for '$other'"
done
[ -z "$(ask http "127.0.0.1:$(port html)" store)" ] || fail "credential store"
printf 'protocol=http\nhost=127.0.0.1:%s\npassword=another\n\n' "$(port html)" | loam credential erase
[ -n "$(ask http "127.0.0.1:$(port html)" get)" ] || fail "another password erased the login"
printf 'protocol=http\nhost=127.0.0.1:%s\npassword=%s\n\n' "$(port html)" "$TOKEN" | loam credential erase
[ -z "$(ask http "127.0.0.1:$(port html)" get)" ] || fail "erase"

step "a certificate that nobody vouches for is refused, one that is named is taken"
: >"$DIR/heard"
STATUS=0
loam login "https://127.0.0.1:$(port tls)" --user alice >"$DIR/out" 2>"$DIR/err" <<<"$SECRET" || STATUS=$?
[ "$STATUS" = 1 ] && grep -qi certificate "$DIR/err" || fail "an unknown certificate: $STATUS $(cat "$DIR/err")"
[ ! -s "$DIR/heard" ] || fail "the password was sent"
SSL_CERT_FILE=$DIR/cert.pem loam login "https://127.0.0.1:$(port tls)" --user alice >"$DIR/out" 2>"$DIR/err" <<<"$SECRET" || true
grep -q '^tls POST' "$DIR/heard" || fail "a certificate that is named: $(cat "$DIR/err")"
STATUS=0
SSL_CERT_FILE=$DIR/cert.pem loam login "https://localhost:$(port tls)" --user alice >"$DIR/out" 2>"$DIR/err" <<<"$SECRET" || STATUS=$?
[ "$STATUS" = 1 ] && [ "$(grep -c '^tls' "$DIR/heard")" = 1 ] || fail "a certificate of another name: $(cat "$DIR/err")"
kill $liar
