"""A mail server on a real socket that answers each command as it is told to, however badly."""

import asyncio
import contextlib
import email
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from email.message import Message

OK = {
    "banner": "220 ready",
    "EHLO": "250-here\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10000000",
    "MAIL": "250 fine",
    "RCPT": "250 fine",
    "DATA": "354 go on",
    "end": "250 taken",
    "AUTH": "235 welcome",
    "STARTTLS": "220 now",
    "QUIT": "221 bye",
}
"""What a server answers that takes everything. An answer of nothing at all breaks the connection off."""
WITH_TLS = {"EHLO": "250-here\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10000000"}


@dataclass
class MailServer:
    """Keeps every envelope that it took, and every command."""

    answers: Mapping[str, str]
    port: int = 0
    tls: ssl.SSLContext | None = None
    envelopes: list[tuple[str, list[str], Message]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    _never: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self.connections.discard(task)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sender, recipients = "", list[str]()
        if not await self._say(writer, "banner"):
            return
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            verb = line.split()[0].upper()
            answer = self.answers.get(line, self.answers.get(verb, "502 what?"))
            if not answer:
                return
            if answer == "silence":
                await self._never.wait()
            writer.write(f"{answer}\r\n".encode())
            match verb:
                case "MAIL":
                    sender, recipients = line, []
                case "RCPT" if answer.startswith("2"):
                    recipients.append(line.partition("<")[2].partition(">")[0])
                case "DATA" if answer.startswith("3"):
                    content = await reader.readuntil(b"\r\n.\r\n")
                    if not await self._say(writer, "end"):
                        return
                    if self.answers["end"].startswith("2"):
                        self.envelopes.append((sender, recipients, email.message_from_bytes(content[:-3])))
                case "STARTTLS" if self.tls is not None:
                    await writer.drain()
                    await writer.start_tls(self.tls)
                case "QUIT":
                    return

    async def _say(self, writer: asyncio.StreamWriter, what: str) -> bool:
        if self.answers[what] == "silence":
            await self._never.wait()
        writer.write(f"{self.answers[what]}\r\n".encode("utf-8", "surrogateescape") if self.answers[what] else b"")
        return bool(self.answers[what])


@contextlib.asynccontextmanager
async def mail_server(
    *, tls: ssl.SSLContext | None = None, is_tls_at_once: bool = False, **answers: str
) -> AsyncIterator[MailServer]:
    """Run a mail server on a free port of 127.0.0.1, whose answers differ from OK where that is said."""
    server = MailServer(answers={**OK, **answers}, tls=tls)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls if is_tls_at_once else None)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server._never.set()
        listener.close()
        await asyncio.gather(*server.connections, return_exceptions=True)
