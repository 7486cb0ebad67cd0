"""Seconds from POST to the result for one aligned face, one after another, on a running server.

make serve                                   # in one terminal
.venv/bin/python bench/one_face.py           # in another
"""

import argparse
import hashlib
import json
import statistics
import time
from pathlib import Path

import httpx

EXAMPLE = Path(__file__).parent.parent / "docs" / "example"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--times", type=int, default=30)
    options = parser.parse_args()
    image, reference = ((EXAMPLE / f"{name}.jpg").read_bytes() for name in ("degraded", "reference"))
    seconds, stages, results = [], [], set()
    with httpx.Client(base_url=options.url, timeout=70) as client:
        for _ in range(options.times):
            began = time.perf_counter()
            job = client.post(
                "/v1/restorations",
                headers={"Prefer": "wait=30"},
                files=[("image", ("degraded.jpg", image)), ("references", ("reference.jpg", reference))],
                data={"faces": "aligned"},
            ).json()
            picture = client.get(job["links"]["image"]).content
            seconds.append(time.perf_counter() - began)
            stages.append(job["timings"])
            results.add(hashlib.sha256(picture).hexdigest())
    print(
        json.dumps(
            {
                "times": options.times,
                "first_s": round(seconds[0], 3),
                "median_s": round(statistics.median(seconds), 3),
                "worst_s": round(max(seconds), 3),
                "stages_median_s": {
                    name: round(statistics.median(s[name] for s in stages), 4) for name in stages[0]
                },
                "different_results": len(results),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
