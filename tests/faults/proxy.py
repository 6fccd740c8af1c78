"""A TCP proxy on loopback between the gateway and a broker: cuts, mutes and slows what passes."""

import asyncio
import threading
import time


class Proxy:
    """`open`: bytes pass. `cut`: connections are cut and refused. `frozen`: bytes wait, either way. `mute`: half-open,
    what is sent arrives and no answer comes back. `slow`: `rate` bytes a second each way, `delay` seconds late."""

    def __init__(self, port, target, rate=50_000, delay=0.15):
        self.port, self.target = port, target
        self.rate, self.delay = rate, delay
        self.mode = "open"
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(10)

    def set(self, mode):
        self.mode = mode
        if mode == "cut":
            self._loop.call_soon_threadsafe(self._cut)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, ready):
        asyncio.set_event_loop(self._loop)
        self._server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        ready.set()
        self._loop.run_forever()
        self._server.close()

    def _cut(self):
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader, writer):
        if self.mode == "cut":
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, to_writer}
        self._writers |= pair
        await asyncio.gather(
            self._pump(reader, to_writer, answers=False), self._pump(to_reader, writer, answers=True), return_exceptions=True
        )
        self._writers -= pair
        for one in pair:
            one.transport.abort()

    async def _pump(self, reader, writer, answers):
        try:
            while data := await reader.read(16 << 10):
                while self.mode == "frozen" or (answers and self.mode == "mute"):
                    await asyncio.sleep(0.02)
                if self.mode == "slow":
                    await asyncio.sleep(self.delay + len(data) / self.rate)
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()


def wait_until(what, holds, timeout, every=0.05):
    """Asks until it holds; the last exception counts as "not yet"."""
    deadline, last = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        try:
            if holds():
                return
        except Exception as error:  # noqa: BLE001: whatever it is, it is shown when time is up
            last = error
        time.sleep(every)
    raise TimeoutError(f"never came true in {timeout} s: {what}" + (f" ({last})" if last else ""))
