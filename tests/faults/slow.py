"""Many connections that send a byte of their request now and then, and open anew when they are closed.

    slow.py PORT COUNT
"""

import asyncio
import resource
import sys

HEAD = b"POST /in/ledger HTTP/1.1\r\nhost: gateway\r\ncontent-length: 100\r\n\r\n" + b"x" * 100


async def crawl(port, n):
    await asyncio.sleep(n / 2000)
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            for at in range(len(HEAD)):
                writer.write(HEAD[at : at + 1])
                await asyncio.sleep(4)
                if writer.transport.is_closing():
                    break
            writer.transport.abort()
        except OSError:
            pass
        await asyncio.sleep(1)


async def main(port, count):
    await asyncio.gather(*(crawl(port, n) for n in range(count)))


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
