"""The routes of the runtime's web API and nothing behind them, for tests of `cu call`: it keeps all in memory."""

import hashlib
import json
import os
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = os.environ.get("API_TOKEN", "")
FILES = {}
JOBS = {}
LARGE = bytes(range(256)) * 40_000


def parameter(name, schema, doc="", required=True, default=None, is_file=False):
    return {"name": name, "schema": schema, "required": required, "default": default, "doc": doc, "is_file": is_file}


NUMBER, TEXT, BOOLEAN = {"type": "number"}, {"type": "string"}, {"type": "boolean"}
CALLS = {
    "math.add": ("Add two numbers.", {"type": "number"}, [parameter("x", NUMBER, "The first."), parameter("y", NUMBER, "The second.", False, 1)]),
    "echo": ("Give back what came.", {}, [parameter("value", {})]),
    "file.size": ("Count the bytes of a file.", {"type": "integer"}, [parameter("file", {"type": "string", "format": "binary"}, is_file=True)]),
    "picture": ("Draw.", {"type": "string", "format": "binary"}, []),
    "work": ("Take a while.", {}, [
        parameter("steps", {"type": "integer"}, "How many there are.", False, 3),
        parameter("seconds", NUMBER, "How long each takes.", False, 0.1),
        parameter("end", TEXT, "done, failed, dead or cancelled", False, "done"),
        parameter("events", BOOLEAN, "Whether they can be followed.", False, True),
        parameter("cut", BOOLEAN, "Close the connection after each event.", False, False),
        parameter("large", BOOLEAN, "Many bytes instead of JSON.", False, False),
        parameter("exit_at", {"type": "integer"}, "Step at which the webserver goes down.", False, -1),
    ]),
    "secret.door": ("Nobody may.", {}, []),
    "broken": ("A bug.", {}, []),
}


class Problem(Exception):
    def __init__(self, status, title, detail, **more):
        super().__init__(detail)
        self.status, self.title, self.detail, self.more = status, title, detail, more


class Job:
    def __init__(self, name, arguments):
        self.id, self.name, self.arguments = secrets.token_hex(16), name, arguments
        self.state, self.progress, self.message, self.logs, self.version = "queued", None, "", [], 0
        self.changed = threading.Condition()
        JOBS[self.id] = self
        threading.Thread(target=self.run, daemon=True).start()

    def change(self, **fields):
        with self.changed:
            self.__dict__.update(fields)
            self.version += 1
            self.changed.notify_all()

    def run(self):
        time.sleep(0.2)
        self.change(state="running")
        steps = self.arguments["steps"]
        for step in range(steps):
            self.change(progress=step / steps, message=f"step {step + 1} of {steps}")
            if step == 0:
                self.logs.append("the first line of its log")
                self.change()
            if step == self.arguments["exit_at"]:
                os._exit(1)
            time.sleep(self.arguments["seconds"])
        self.change(state=self.arguments["end"], progress=1.0 if self.arguments["end"] == "done" else self.progress)

    def ended(self):
        return self.state in ("done", "failed", "dead", "cancelled")

    def view(self):
        error = {"type": "ValueError", "message": "no such tile"} if self.state in ("failed", "dead") else None
        return {
            "id": self.id, "state": self.state, "location": f"/v1/jobs/{self.id}", "function": self.name,
            "progress": self.progress, "message": self.message, "error": error,
        }

    def wait(self, version, seconds):
        with self.changed:
            self.changed.wait_for(lambda: self.version != version, seconds)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self):
        path, _, query = self.path.partition("?")
        self.left = int(self.headers.get("content-length", "0"))
        self.has_begun = False
        try:
            if path == "/healthz":
                return self.send_json(200, {"status": "ok"})
            if TOKEN and self.headers.get("authorization") != f"Bearer {TOKEN}":
                raise Problem(401, "Unauthorized", "this token is not known")
            for pattern, handle in ROUTES:
                if match := re.fullmatch(pattern, f"{self.command} {path}"):
                    return handle(self, *match.groups(), query)
            raise Problem(404, "Not Found", "Not Found")
        except Problem as problem:
            members = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": str(problem)}
            self.close_connection = self.left > 0
            body = {**members, "request_id": "req-17", **problem.more}
            self.send_json(problem.status, body, content_type="application/problem+json")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def chunks(self):
        while self.left > 0:
            chunk = self.rfile.read(min(self.left, 1 << 16))
            if not chunk:
                raise ConnectionResetError
            self.left -= len(chunk)
            yield chunk

    def calls(self, _query):
        names = ("name", "summary", "doc", "parameters", "returns")
        entries = [(name, doc, f"{doc}\n\nMore about it.", parameters, returns) for name, (doc, returns, parameters) in CALLS.items()]
        self.send_json(200, {"title": "Test", "calls": [dict(zip(names, entry)) for entry in entries]})

    def call(self, name, _query):
        if name not in CALLS:
            raise Problem(404, "Not Found", f"there is no public function {name}; GET /v1/calls lists those there are")
        given = json.loads(b"".join(self.chunks()) or b"{}")
        known = {each["name"]: each for each in CALLS[name][2]}
        errors = [(key, f"{name} has no such argument; it takes {', '.join(known)}") for key in given if key not in known]
        errors += [(key, "missing") for key, each in known.items() if each["required"] and key not in given]
        types = {"number": (int, float), "integer": int, "string": str, "boolean": bool}
        for key, value in given.items():
            kind = known[key]["schema"].get("type") if key in known else None
            if kind and not (known[key]["is_file"] or isinstance(value, types[kind])):
                errors.append((key, f"{value!r} is not of type {kind!r}"))
        if errors:
            detail = "; ".join(f"{key}: {message}" for key, message in errors)
            raise Problem(422, "Unprocessable Entity", detail, errors=[{"parameter": key, "message": message} for key, message in errors])
        arguments = {**{key: each["default"] for key, each in known.items()}, **given}
        if name == "math.add":
            return self.send_json(200, arguments["x"] + arguments["y"])
        if name == "echo":
            return self.send_json(200, arguments["value"])
        if name == "file.size":
            sha256 = arguments["file"]["$file"]
            if sha256 not in FILES:
                raise Problem(422, "Unprocessable Entity", "file", errors=[{"parameter": "file", "message": "no such file was uploaded"}])
            return self.send_json(200, {**arguments["file"], "stored": FILES[sha256]})
        if name == "picture":
            return self.send_bytes(200, b"\x89PNG\r\n\x1a\n\x00\xff", "image/png", {})
        if name == "secret.door":
            raise Problem(403, "Forbidden", "this token lacks the scope doors")
        if name == "broken":
            raise Problem(500, "Internal Server Error", "something went wrong here")
        job = Job(name, arguments)
        self.send_json(202, job.view(), {"location": f"/v1/jobs/{job.id}", "retry-after": "1"})

    def find(self, id_):
        if id_ not in JOBS:
            raise Problem(404, "Not Found", "there is no such job, or it ended so long ago that it was forgotten")
        return JOBS[id_]

    def job(self, id_, query):
        job = self.find(id_)
        deadline = time.monotonic() + float(dict(re.findall(r"(\w+)=(\w+)", query)).get("wait", 0))
        while not job.ended() and time.monotonic() < deadline:
            job.wait(job.version, deadline - time.monotonic())
        self.send_json(200, job.view())

    def events(self, id_, _query):
        job = self.find(id_)
        if not job.arguments["events"]:
            raise Problem(404, "Not Found", "Not Found")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        state, said, logged = "", (None, ""), 0
        self.wfile.write(b"retry: 100\n\n")
        while True:
            version = job.version
            events = []
            if job.state != state:
                events.append(("state", job.view()))
            elif (job.progress, job.message) != said:
                events.append(("progress", {"progress": job.progress, "message": job.message}))
            events += [("log", {"log": text}) for text in job.logs[logged:]]
            state, said, logged = job.state, (job.progress, job.message), len(job.logs)
            for event, data in events:
                self.wfile.write(f"event: {event}\nid: {version}\ndata: {json.dumps(data)}\n\n".encode())
            if state in ("done", "failed", "dead", "cancelled") or (events and job.arguments["cut"]):
                return
            job.wait(version, 15)
            if version == job.version:
                self.wfile.write(b": still here\n\n")

    def result(self, id_, _query):
        job = self.find(id_)
        if job.state in ("failed", "dead"):
            raise Problem(500, "Internal Server Error", f"{job.name} {job.state}: no such tile", error=job.view()["error"], job=job.view())
        if job.state == "cancelled":
            raise Problem(410, "Gone", "the job was cancelled: there is no result", job=job.view())
        if job.state != "done":
            raise Problem(409, "Conflict", f"the job is {job.state}: its result is not there yet", job=job.view())
        if job.arguments["large"]:
            return self.send_bytes(200, LARGE, "application/octet-stream", {})
        self.send_json(200, {"steps": job.arguments["steps"]})

    def head_file(self, sha256, _query):
        if sha256 not in FILES:
            raise Problem(404, "Not Found", "there is no such file: it was never uploaded, or it was purged")
        self.send_bytes(200, b"", "application/octet-stream", {})

    def put_file(self, sha256, _query):
        hasher, size = hashlib.sha256(), 0
        for chunk in self.chunks():
            hasher.update(chunk)
            size += len(chunk)
        if hasher.hexdigest() != sha256:
            raise Problem(422, "Unprocessable Entity", f"the content has the SHA-256 {hasher.hexdigest()}")
        FILES[sha256] = size
        print(f"uploaded {sha256[:8]} {size}")
        self.send_json(201, {"$file": sha256, "size": size, "name": ""})

    def send_json(self, status, value, headers={}, content_type="application/json"):
        self.send_bytes(status, json.dumps(value).encode(), content_type, headers)

    def send_bytes(self, status, body, content_type, headers):
        self.send_response(status)
        for name, value in {"content-type": content_type, "content-length": str(len(body)), "x-request-id": "req-17", **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


ROUTES = [
    (r"GET /v1/calls", Handler.calls),
    (r"POST /v1/call/([^/]+)", Handler.call),
    (r"GET /v1/jobs/([^/]+)", Handler.job),
    (r"GET /v1/jobs/([^/]+)/events", Handler.events),
    (r"GET /v1/jobs/([^/]+)/result", Handler.result),
    (r"HEAD /v1/files/([0-9a-f]{64})", Handler.head_file),
    (r"PUT /v1/files/([0-9a-f]{64})", Handler.put_file),
]

ThreadingHTTPServer.daemon_threads = True
ThreadingHTTPServer(("", int(os.environ["CU_PORT"])), Handler).serve_forever()
