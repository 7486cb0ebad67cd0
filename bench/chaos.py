"""Whatever happens to workers and to Redis: every job ends, once, and only the poisonous ones are given up.

.venv/bin/python bench/chaos.py                    # 100,000 jobs, 8 workers: some minutes
.venv/bin/python bench/chaos.py --jobs 2500        # as tests/service/test_jobs_chaos.py

Real workers with a restorer that inverts; SIGKILL and SIGTERM at random, poison jobs that end their process, jobs
canceled at random, redis-server killed and started again. Exit status 1 and a list if a promise was broken.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from chaos import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--within", type=float, default=3600.0, help="seconds")
    options = parser.parse_args()
    jobs = options.jobs
    plan = Plan(
        jobs=jobs,
        workers=options.workers,
        poison=max(3, jobs // 500),
        cancels=jobs // 12,
        blows=jobs // 60,
        redis_kills=1 + jobs // 20_000,
        within=options.within,
        seed=options.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        account = asyncio.run(run(plan, Path(folder)))
    print(f"{jobs} jobs, {options.workers} workers, {account.seconds:.1f} s")
    print("ended:", dict(account.statuses), "attempts:", dict(sorted(account.attempts.items())))
    print("blows:", dict(account.blows), "processes ended by poison:", account.poison_deaths)
    print("promises broken:", len(account.faults), *account.faults[:20], sep="\n  ")
    return 1 if account.faults else 0


if __name__ == "__main__":
    sys.exit(main())
