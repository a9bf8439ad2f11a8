"""The files of onnxruntime-web that run a decoder in the browser: read from the user's copy of the npm package."""

from __future__ import annotations

import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

from genlab.registry import ConfigError

VERSION = "1.30.0"
HOW = f"npm pack onnxruntime-web@{VERSION}"
"""The command that downloads the package as a file."""
# The smallest files that decode on a CPU: no WebGPU, no threads of their own.
DIGESTS = {
    "dist/ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "dist/ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The sha256 of each file. The page is handed on to others, so it holds no other code than the one that was tested."""
LICENSE = (
    "onnxruntime-web, MIT License, Copyright (c) Microsoft Corporation. Permission is hereby granted, free of charge, "
    'to any person obtaining a copy of this software and associated documentation files (the "Software"), to deal in '
    "the Software without restriction, including without limitation the rights to use, copy, modify, merge, publish, "
    "distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is "
    "furnished to do so, subject to the following conditions: The above copyright notice and this permission notice "
    'shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED "AS IS", '
    "WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, "
    "FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE "
    "LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING "
    "FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."
)
"""The license, which every copy must hold."""
_LARGEST = 2**26


@dataclass(frozen=True)
class Runtime:
    """The files of the runtime."""

    script: str
    """The library, which defines the global `ort`."""
    loader: bytes
    """The module that starts the WebAssembly."""
    wasm: bytes


def read(place: Path) -> Runtime:
    """Read the runtime from the package as a file (.tgz), its folder, or its folder `dist`; check every byte."""
    if not place.exists():
        raise ConfigError(f"{place} does not exist. Get the runtime: {HOW}")
    files = {name: _content(place, name) for name in DIGESTS}
    for name, content in files.items():
        if content is None:
            raise ConfigError(f"{place} does not hold {name} of onnxruntime-web. Get the package: {HOW}")
        if hashlib.sha256(content).hexdigest() != DIGESTS[name]:
            raise ConfigError(f"{name} in {place} is not that of onnxruntime-web {VERSION}. Get this version: {HOW}")
    script, loader, wasm = (content or b"" for content in files.values())
    return Runtime(script.decode("utf-8"), loader, wasm)


def _content(place: Path, name: str) -> bytes | None:
    """Return a file of the package; None if it is not there."""
    try:
        if place.is_dir():
            found = next(
                (path for path in (place / name, place / "package" / name, place / Path(name).name) if path.is_file()),
                None,
            )
            return found.read_bytes() if found and found.stat().st_size <= _LARGEST else None
        with tarfile.open(place) as archive:
            # Nothing is unpacked to the disk.
            member = archive.getmember(f"package/{name}")
            file = archive.extractfile(member) if member.isfile() and member.size <= _LARGEST else None
            return file.read() if file else None
    except (KeyError, tarfile.TarError, EOFError):
        return None
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror or error}.") from None
