"""docs/openapi.yaml against the server: its rows, and its answers.

    rows FILE          the operations as tests/tools/api_rows prints them: both ways the same
    api = Api(url)     api.call("repo.show", token, repo="a/b") checks status and body against the file
"""
import base64
import http.client
import json
import os
import re
import sys
import urllib.parse

import jsonschema
import yaml

SPEC = yaml.safe_load(open(os.path.join(os.environ["LOAM_SOURCE"], "docs/openapi.yaml")))
RESOLVER = jsonschema.RefResolver("", SPEC)
OPS = {}
for _path, _item in SPEC["paths"].items():
    for _method, _op in _item.items():
        if _method != "parameters":
            assert _op["operationId"] not in OPS, _op["operationId"]
            OPS[_op["operationId"]] = (_method.upper(), _path, _op)


def resolve(value):
    return RESOLVER.resolve(value["$ref"])[1] if "$ref" in value else value


def body_schema(op):
    body = op.get("requestBody")
    return resolve(body["content"]["application/json"]["schema"]) if body else None


def hold_rows(rows):
    """Every difference between the server's rows and the file, one line each."""
    found = []
    names = {row["name"] for row in rows}
    found += [f"{name} stands in the file only" for name in OPS if name not in names]
    for row in rows:
        if row["name"] not in OPS:
            found.append(f"{row['name']} is not in the file")
            continue
        method, path, op = OPS[row["name"]]
        schema = body_schema(op)
        query = [resolve(p)["name"] for p in op.get("parameters", [])]
        words = [resolve(p)["name"] for p in SPEC["paths"][path].get("parameters", [])]
        statuses = [s for s in op["responses"] if s != "default"]
        for what, ours, theirs in (
            ("method", row["method"], method),
            ("path", row["path"], path),
            ("scope", row["want"], op["x-loam-scope"]),
            ("status", [str(row["status"])], statuses),
            ("members", sorted(row["members"].split()), sorted(schema["properties"]) if schema else []),
            ("query", sorted(row["query"]), sorted(query)),
            ("words", re.findall(r"{(\w+)}", row["path"]), words),
        ):
            if ours != theirs:
                found.append(f"{row['name']}: {what}: the server has {ours}, the file {theirs}")
    return found


class Api:
    def __init__(self, url):
        self.where = urllib.parse.urlsplit(url)
        self.called = set()
        self.failures = []

    def fail(self, text):
        self.failures.append(text)

    def raw(self, method, path, headers, body):
        connection = http.client.HTTPConnection(self.where.hostname, self.where.port, timeout=120)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer, data

    def call(self, name, caller=None, body=None, wanted=None, query=None, **words):
        """caller: a token, (user, password) or None. wanted: the status, else the documented one."""
        method, path, op = OPS[name]
        for word, value in words.items():
            safe = "/" if word == "repo" else ""
            path = path.replace("{%s}" % word, urllib.parse.quote(value, safe=safe))
        assert "{" not in path, path
        if query:
            path += "?" + urllib.parse.urlencode(query)
        headers = {}
        if isinstance(caller, tuple):
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(caller).encode()).decode()
        elif caller:
            headers["Authorization"] = "Bearer " + caller
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        answer, text = self.raw(method, "/api/v1" + path, headers, data)
        good = [s for s in op["responses"] if s != "default"]
        wanted = str(wanted) if wanted else good[0]
        what = f"{name} {method} {path}"
        if str(answer.status) != wanted:
            self.fail(f"{what}: wanted {wanted}, got {answer.status}: {text[:300]}")
            return None
        response = resolve(op["responses"].get(wanted) or op["responses"]["default"])
        return self.fits(what, response, answer, text, name if wanted in good else None)

    def fits(self, what, response, answer, text, covered):
        content = response.get("content")
        if not content:
            if text:
                self.fail(f"{what}: a body where none is documented: {text[:300]}")
            self.called.add(covered)
            return None
        if answer.headers.get_content_type() != "application/json":
            self.fail(f"{what}: {answer.headers['Content-Type']}")
        value = json.loads(text)
        schema = content["application/json"]["schema"]
        try:
            jsonschema.Draft202012Validator(schema, resolver=RESOLVER).validate(value)
        except jsonschema.ValidationError as error:
            self.fail(f"{what}: {error.message} in {text[:300]}")
        self.called.add(covered)
        return value

    def end(self):
        self.failures += [f"{name} was never called with success" for name in OPS if name not in self.called]
        for line in self.failures:
            print(line, file=sys.stderr)
        sys.exit(1 if self.failures else 0)
