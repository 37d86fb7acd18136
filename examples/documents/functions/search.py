"""Searches the index: GET /functions/search?q=harbour, best hits first."""

import json
import os
import sqlite3
from contextlib import closing

HITS = (
    "SELECT name, title, snippet(document, -1, '', '', ' ... ', 12) FROM document WHERE document MATCH ? ORDER BY rank"
)


def handler(event, context):
    # Each word in quotes is a word, whatever characters it has; all of them must be there.
    words = (event["queryStringParameters"].get("q") or "").split()
    if not words:
        return answer(400, {"error": "say what to look for: /functions/search?q=harbour"})
    query = " ".join('"' + word.replace('"', '""') + '"' for word in words)
    with closing(sqlite3.connect(f"file:{os.environ['INDEX_FILE']}?mode=ro", uri=True, timeout=10)) as index:
        hits = index.execute(HITS + " LIMIT 10", (query,)).fetchall()
        (entries,) = index.execute("SELECT count(*) FROM document").fetchone()
        (distinct,) = index.execute("SELECT count(DISTINCT job_id) FROM document").fetchone()
    found = [{"name": name, "title": title, "snippet": snippet} for name, title, snippet in hits]
    return answer(200, {"query": " ".join(words), "hits": found, "entries": entries, "documents": distinct})


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
