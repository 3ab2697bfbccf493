"""Manifests: JSON that begins with the checksum of the rest, so that damage and edits are seen."""

import hashlib
import json
import platform
from importlib import metadata

from semid import __version__
from semid.io._codec import parse_json
from semid.io._errors import ArtifactError

LARGEST_MANIFEST = 2**26
_PREFIX, _MIDDLE, _SUFFIX = b'{"sha256": "', b'", "manifest": ', b"}\n"
_PACKAGES = ("numpy", "pandas", "safetensors", "scikit-learn", "torch")


def sealed(manifest):
    """Return the bytes of a manifest: JSON that begins with the checksum of the rest."""
    body = json.dumps(manifest, indent=1, allow_nan=False).encode("ascii")
    content = _PREFIX + hashlib.sha256(body).hexdigest().encode("ascii") + _MIDDLE + body + _SUFFIX
    if len(content) > LARGEST_MANIFEST:
        raise ValueError(
            f"parameters and attributes other than arrays must take at most {LARGEST_MANIFEST} bytes, got "
            f"{len(content)}. Pass long lists as arrays."
        )
    return content


def unsealed(content, name, *, format, version, what):
    """Return the manifest in the bytes of the file `name`, or raise unless it is whole and of this format and version.

    Raises
    ------
    ArtifactError
        If it is of another version.
    ValueError
        If it is damaged, or of another format.
    """
    start = len(_PREFIX) + 64 + len(_MIDDLE)
    body = content[start : -len(_SUFFIX)]
    digest = hashlib.sha256(body).hexdigest().encode("ascii")
    if content != _PREFIX + digest + _MIDDLE + body + _SUFFIX:
        raise ValueError(f"{name} must have its checksum, got another: it is damaged or was edited.")
    manifest = parse_json(body)
    if type(manifest) is not dict or manifest.get("format") != format:
        raise ValueError(f"{name} must be of the format {format!r}.")
    if manifest["version"] != version:
        raise ArtifactError(
            f"the format of {what} must be of version {version}, got {manifest['version']!r:.20}, written with "
            f"semid {manifest['written_with']['semid']!r:.40}; this is semid {__version__}. Upgrade it: "
            "pip install -U semid."
        )
    return manifest


def versions():
    """Return the versions of what writes, by name."""
    return {
        "semid": __version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in _PACKAGES},
    }


def sha256_of(path):
    """Return the digest of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
