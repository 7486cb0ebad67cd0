from redis.asyncio import Redis
from refstar_service.jobs import JobQueue
from refstar_service.processes import connect


async def test_connections_that_died_while_idle_cost_nobody_an_error(redis_server: str, redis: Redis) -> None:
    client = connect(redis_server)
    queue = JobQueue(client)
    try:
        assert await queue.get("nobody") is None
        for _ in range(3):
            await redis.client_kill_filter(_type="normal", skipme=True)  # as a restart of the server does
            assert await queue.get("nobody") is None
            await redis.client_kill_filter(_type="normal", skipme=True)
            assert sum((await queue.depth()).values()) == 0
    finally:
        await queue.aclose()
        await client.aclose()
