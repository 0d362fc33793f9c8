#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in front of an S3 server that does to requests what thin links and tired servers do.

    fault_proxy.py --server http://127.0.0.1:7070 --port-file FILE

Listens on a free port of 127.0.0.1 and writes the port into FILE. Requests go on as they came (their host too: it is signed),
except where a rule says otherwise. Rules are set with a PUT of a JSON array to /.faults, which also sets all counts to zero:

    [{"kind": "503", "every": 5, "from": 3, "count": 20, "method": "PUT|POST", "target": "kopia/"}]

`every`: each n-th request that matches, counted from the `from`-th (default: `every`); `count`: at most so often (default 100);
`method`, `target`: regular expressions for the method, and for path and query. A GET of /.faults tells what was done, and how
many requests came by how many connections, with a session token, or as to a proxy.

Kinds:
    503, 500         an error of S3's; the server does not see the request
    429              the same, with Retry-After: 1
    slow             the answer comes `seconds` (1) later
    cut-before       the connection ends; the server does not see the request
    cut-after        the connection ends once the server has done what was asked: its answer is lost
    cut-body         half of the answer's body, then the connection ends
    duplicate        the server gets the request twice; the first answer counts
    stale-list       of a listing, the oldest answer that the proxy has seen for the same question
    wrong-bytes      one byte of an object on its way down is another one
    wrong-upload     one byte of an object on its way up is another one
"""
import argparse
import http.client
import json
import os
import re
import socketserver
import sys
import threading
import time
import urllib.parse

CONTROL = "/.faults"
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 256 * 1024 * 1024
TIMEOUT_S = 60
KINDS = {"503", "500", "429", "slow", "cut-before", "cut-after", "cut-body", "duplicate", "stale-list", "wrong-bytes",
         "wrong-upload"}
ERRORS = {"503": (503, "Slow Down", "SlowDown"), "500": (500, "Internal Server Error", "InternalError"),
          "429": (429, "Too Many Requests", "TooManyRequests")}
# Of one connection, not of the request.
HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"}


class Gone(Exception):
    """The connection is to be ended, or has ended."""


class Rule:
    def __init__(self, words):
        self.kind = words["kind"]
        if self.kind not in KINDS:
            raise ValueError("unknown kind " + self.kind)
        self.every = int(words.get("every", 1))
        self.first = int(words.get("from", self.every))
        self.count = int(words.get("count", 100))
        self.seconds = float(words.get("seconds", 1))
        self.method = re.compile(words.get("method", ""))
        self.target = re.compile(words.get("target", ""))
        if self.every < 1 or self.first < 1:
            raise ValueError("every and from are at least 1")
        self.seen = self.done = 0

    def takes(self, request):
        """Counts the request, and says whether it is one of those to be hit."""
        if not (self.method.search(request.method) and self.target.search(request.target) and self.fits(request)):
            return False
        self.seen += 1
        if self.done >= self.count or self.seen < self.first or (self.seen - self.first) % self.every:
            return False
        self.done += 1
        return True

    def fits(self, request):
        if self.kind == "stale-list":
            return request.is_list()
        if self.kind in ("wrong-bytes", "cut-body"):
            return request.method == "GET" and (self.kind == "cut-body" or not request.is_list())
        if self.kind == "wrong-upload":
            return request.method == "PUT" and len(request.body) > 0
        return True


class State:
    """What all connections share."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()
        self.rules = []
        self.lists = {}
        self.clear()

    def clear(self):
        self.requests = self.connections = self.tokens = self.proxied = 0
        self.methods = {}

    def set_rules(self, text):
        rules = [Rule(words) for words in json.loads(text)]
        with self.lock:
            self.rules = rules
            self.clear()

    def choose(self, request):
        """Every rule counts; the first that takes the request has it."""
        with self.lock:
            self.requests += 1
            self.tokens += request.has("x-amz-security-token")
            self.proxied += request.proxied
            self.methods[request.method] = self.methods.get(request.method, 0) + 1
            chosen = None
            for rule in self.rules:
                if chosen is None and rule.takes(request):
                    chosen = rule
            return chosen

    def counts(self):
        with self.lock:
            rules = [{"kind": r.kind, "every": r.every, "seen": r.seen, "done": r.done} for r in self.rules]
            return {"requests": self.requests, "methods": self.methods, "connections": self.connections,
                    "tokens": self.tokens, "proxied": self.proxied, "done": sum(r["done"] for r in rules), "rules": rules}

    def count_connection(self):
        with self.lock:
            self.connections += 1

    def oldest_list(self, request, answer):
        with self.lock:
            return self.lists.setdefault(request.target, answer)


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        # Who takes this for a proxy, by http_proxy, asks for the whole address.
        self.proxied = target.startswith("http://")
        self.target = "/" + target[7:].partition("/")[2] if self.proxied else target

    def has(self, header):
        return any(name.lower() == header for name, _ in self.headers) or header in self.target.lower()

    def is_list(self):
        return self.method == "GET" and "list-type=2" in self.target


class Answer:
    def __init__(self, status, reason, headers, body, length=None):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body
        self.length = len(body) if length is None else length

    def head(self):
        lines = [f"HTTP/1.1 {self.status} {self.reason}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.status != 204:
            lines.append(f"Content-Length: {self.length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def error_answer(kind):
    status, reason, code = ERRORS[kind]
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>made by a test</Message></Error>'
    headers = [("Content-Type", "application/xml")] + ([("Retry-After", "1")] if kind == "429" else [])
    return Answer(status, reason, headers, body.encode())


def one_byte_other(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1:] if data else data


class Handler(socketserver.StreamRequestHandler):
    timeout = TIMEOUT_S
    disable_nagle_algorithm = True

    def handle(self):
        self.upstream = None
        counted = False
        try:
            while (request := self.read_request()) is not None:
                if not counted and request.target != CONTROL:
                    self.server.state.count_connection()
                    counted = True
                self.serve(request)
        except (Gone, OSError, http.client.HTTPException, ValueError):
            pass
        finally:
            if self.upstream:
                self.upstream.close()

    # ---- reading ----

    def read_request(self):
        line = self.rfile.readline(HEAD_BYTES_MAX)
        if not line.strip():
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers, size = [], 0
        while (line := self.rfile.readline(HEAD_BYTES_MAX)) not in (b"\r\n", b"\n"):
            size += len(line)
            if not line or size > HEAD_BYTES_MAX:
                raise Gone()
            name, value = line.decode("latin-1").rstrip("\r\n").split(":", 1)
            headers.append((name, value.strip()))
        known = {name.lower(): value for name, value in headers}
        if known.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return Request(method, target, headers, self.read_body(known))

    def read_body(self, known):
        if "chunked" in known.get("transfer-encoding", "").lower():
            parts, size = [], 0
            while (length := int(self.rfile.readline(100).split(b";")[0], 16)) > 0:
                size += length
                if size > BODY_BYTES_MAX:
                    raise Gone()
                parts.append(self.read_exactly(length))
                self.rfile.readline(10)
            while self.rfile.readline(HEAD_BYTES_MAX) not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(parts)
        length = int(known.get("content-length", 0))
        if length > BODY_BYTES_MAX:
            raise Gone()
        return self.read_exactly(length)

    def read_exactly(self, length):
        data = self.rfile.read(length) if length else b""
        if len(data) != length:
            raise Gone()
        return data

    # ---- passing on ----

    def pass_on(self, request):
        """The server's answer. A connection that it has closed in the meantime is made again, once."""
        for attempt in (0, 1):
            try:
                return self.ask(request)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.upstream = None
                if attempt:
                    raise
        raise Gone()

    def ask(self, request):
        if self.upstream is None:
            self.upstream = http.client.HTTPConnection(self.server.state.server, timeout=TIMEOUT_S)
        self.upstream.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
        lengths = False
        for name, value in request.headers:
            if name.lower() not in HOP:
                self.upstream.putheader(name, value)
                lengths = lengths or name.lower() == "content-length"
        if request.body and not lengths:
            self.upstream.putheader("Content-Length", str(len(request.body)))
        self.upstream.endheaders(request.body or None)
        response = self.upstream.getresponse()
        body = response.read()
        headers = [(n, v) for n, v in response.getheaders() if n.lower() not in HOP and n.lower() != "content-length"]
        length = response.getheader("Content-Length") if request.method == "HEAD" else None
        return Answer(response.status, response.reason, headers, body, length)

    def send(self, request, answer, cut=False):
        if cut:
            self.wfile.write(answer.head() + answer.body[:len(answer.body) // 2])
            raise Gone()
        self.wfile.write(answer.head() + (b"" if request.method == "HEAD" else answer.body))

    # ---- faults ----

    def serve(self, request):
        state = self.server.state
        if request.target == CONTROL:
            self.control(request)
            return
        rule = state.choose(request)
        kind = rule.kind if rule else ""
        if kind == "cut-before":
            raise Gone()
        if kind in ERRORS:
            self.send(request, error_answer(kind))
            return
        if kind == "wrong-upload":
            request.body = one_byte_other(request.body)
        answer = self.pass_on(request)
        if kind == "cut-after":
            raise Gone()
        if kind == "duplicate":
            self.pass_on(request)
        if kind == "slow":
            time.sleep(rule.seconds)
        if request.is_list() and answer.status == 200:
            oldest = state.oldest_list(request, answer)
            answer = oldest if kind == "stale-list" else answer
        if kind == "wrong-bytes" and answer.status in (200, 206):
            answer.body = one_byte_other(answer.body)
        self.send(request, answer, cut=kind == "cut-body" and len(answer.body) > 1)

    def control(self, request):
        try:
            if request.method == "PUT":
                self.server.state.set_rules(request.body)
            answer = Answer(200, "OK", [("Content-Type", "application/json")],
                            json.dumps(self.server.state.counts()).encode())
        except (ValueError, KeyError, TypeError, AttributeError, re.error) as why:
            answer = Answer(400, "Bad Request", [], f"{why}\n".encode())
        self.send(request, answer)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="http://HOST:PORT of the real server")
    parser.add_argument("--port-file", required=True)
    args = parser.parse_args()
    url = urllib.parse.urlsplit(args.server)
    if url.scheme != "http" or not url.port:
        parser.error("--server: http://HOST:PORT")
    server = Server(("127.0.0.1", 0), Handler)
    server.state = State(url.netloc)
    with open(args.port_file + ".part", "w", encoding="ascii") as file:
        file.write(f"{server.server_address[1]}\n")
    os.rename(args.port_file + ".part", args.port_file)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(130)


main()
