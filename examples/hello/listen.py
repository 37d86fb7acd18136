"""A webhook receiver in a few lines: checks the signature, prints the message. Run it beside the example's service."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_aGVsbG8gZXhhbXBsZSwgZGV2ZWxvcG1lbnQgb25seSE="  # as in sendoff.yaml


class Hook(BaseHTTPRequestHandler):
    """Answers 204 to a message with a good signature, 401 to any other."""

    def do_POST(self) -> None:
        """Check, then print."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            message = Webhook(SECRET).verify(body, dict(self.headers))
        except Exception as fault:  # the library raises several kinds for a bad signature
            self._answer(401, f"refused: {fault}")
        else:
            self._answer(204, f"{self.headers['webhook-id']}\n{json.dumps(message, indent=2)}")

    def _answer(self, status: int, line: str) -> None:
        print(line, flush=True)
        self.send_response(status)
        self.end_headers()


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 9000), Hook).serve_forever()
