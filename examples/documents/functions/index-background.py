"""Keeps a full-text index of what `extract-background` found: it is called with each of its messages."""

import json
import os
import sqlite3
from contextlib import closing

TABLE = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS document USING fts5(job_id UNINDEXED, name UNINDEXED, title, terms, excerpt)"
)


def handler(event, context):
    message = json.loads(event["body"])
    job_id, result = message["data"]["job"]["id"], message["data"]["result"]
    terms = " ".join(term["term"] for term in result["terms"])
    with closing(sqlite3.connect(os.environ["INDEX_FILE"], timeout=10)) as index, index:
        index.execute("PRAGMA journal_mode = WAL")
        index.execute(TABLE)
        # A run may happen twice, and a document may be sent twice: either leaves one entry.
        index.execute("DELETE FROM document WHERE job_id = ?", (job_id,))
        row = (job_id, result["name"], result["title"] or "", terms, result["excerpt"])
        index.execute("INSERT INTO document VALUES (?, ?, ?, ?, ?)", row)
    return {"indexed": result["name"]}
