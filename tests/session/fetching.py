"""The command `fetch` in a project of a tiny model, each in a process of its own."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.runs import done, started, suite_main
from tests.session.language import Tiny, write_model

NOWHERE = "http://127.0.0.1:9/simple"


def offline_main(given: list[str]) -> int:
    """The command in a process that ends at once if it asks a network itself: pip is another."""

    def listen(event: str, _: object) -> None:
        if event in ("socket.connect", "socket.getaddrinfo"):
            print(f"{event}: this process went over the network", flush=True)
            os._exit(99)

    sys.addaudithook(listen)
    return suite_main(given)


def without_gguf_main(given: list[str]) -> int:
    sys.modules["gguf"] = None
    return suite_main(given)


def without_pip_main(given: list[str]) -> int:
    sys.modules["pip"] = None
    return suite_main(given)


def ended(
    *given: str | Path, main=offline_main, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command with these arguments, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        to = {"output": str(output), "errors": str(errors)}
        status = done(started(main, "fetch", *given, **to, cwd=cwd, **variables))
        return subprocess.CompletedProcess(given, status, output.read_text(), errors.read_text())


def little_room_main(given: list[str]) -> int:
    """The wheel of 24 kB fits, the weights of 110 kB don't."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
    return suite_main(given)


@dataclass(frozen=True)
class Project:
    """A project with a model `tiny`, a folder where pip finds its wheel, and a user's cache."""

    root: Path

    @property
    def links(self) -> Path:
        return self.root / "links"

    @property
    def cache(self) -> Path:
        return self.root / "cache" / "mechanistic-claims"

    @property
    def environment(self) -> dict[str, str]:
        """No configuration of pip's but this."""
        return {
            "MECHANISTIC_CLAIMS_CACHE": str(self.cache),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_FIND_LINKS": str(self.links),
            "PIP_INDEX_URL": NOWHERE,
            "PIP_NO_INDEX": "1",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_RETRIES": "1",
            "PIP_TIMEOUT": "60",
        }

    def from_index(self, url: str) -> dict[str, str]:
        return {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": url}

    def fetch(
        self, *given: str | Path, main=offline_main, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return ended("tiny", *given, main=main, cwd=self.root, **self.environment | more)

    def refuses(self, *given: str | Path, main=offline_main, **more: str) -> str:
        """What is said; nothing is left in the cache."""
        refused = self.fetch(*given, main=main, **more)
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert [*self.cache.glob("*")] == []
        said = refused.stderr.splitlines()[-1]
        assert said.startswith("mechanistic-claims fetch: "), refused.stderr
        return said


def project_of(tiny: Tiny, root: Path) -> Project:
    project = Project(root)
    project.links.mkdir()
    shutil.copy(tiny.wheel, project.links)
    write_model(root, tiny.wheel)
    return project
