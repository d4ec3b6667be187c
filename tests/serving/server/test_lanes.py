"""Who is prepared when: in turn, while there is room for what waits for the model."""

import asyncio

from mite_tf.serving.server import intake, lanes


def test_room_is_given_in_turn_and_comes_back(monkeypatch):
    monkeypatch.setattr(lanes, "_ROOM", 10)

    async def tell():
        lane, hold, inside, came = lanes.Lane(1), asyncio.Event(), set(), []

        async def enter(name, size):
            async with lane.room(size):
                came.append(name)
                inside.add(name)
                try:
                    await hold.wait()
                finally:
                    inside.remove(name)

        async def settled():
            for _ in range(5):
                await asyncio.sleep(0)
            return "".join(sorted(inside))

        sizes = {"a": 6, "b": 4, "c": 8, "d": 1, "e": 99, "f": 2}
        tasks = {name: asyncio.create_task(enter(name, size)) for name, size in sizes.items()}
        assert await settled() == "ab"
        tasks["c"].cancel()
        assert await settled() == "ab"
        tasks["a"].cancel()
        assert await settled() == "bd"  # "e" wants all of the room, and "f" is behind it
        async with lane.room(0):  # a text waits for no picture
            hold.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        lane.close()
        return came

    assert asyncio.run(tell()) == ["a", "b", "d", "e", "f"]


def test_large_rows_have_a_lane_of_their_own():
    chosen = lanes.Lanes()
    small, usual, large = (chosen.choose(each) for each in ([9] * 32, [40_000] * 32, [17_000_000]))
    assert len({small, usual, large}) == 3
    assert chosen.choose([16_000_000] * 32) is usual
    chosen.close()


def test_connections_of_grpc_take_turns(monkeypatch):
    monkeypatch.setattr(intake, "_FRESH", 1)
    read = []

    class Call:
        def __init__(self, peer):
            self.peer = lambda: peer

        async def read(self):
            read.append(self.peer())
            await asyncio.sleep(0)

    async def ask():
        door = intake.Intake(1 << 20)
        await asyncio.gather(*(door.read(Call(peer)) for peer in "aaaaaab"))

    asyncio.run(ask())
    assert read.index("b") < 4
