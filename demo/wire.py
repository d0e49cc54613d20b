"""What lies between one replica and the NATS servers: wire.py PORT=TARGET…, all on loopback.

Stop this process (SIGSTOP) and the replica is cut off as by a firewall that drops; continue it
(SIGCONT) and what was on its way arrives.
"""

import asyncio
import sys


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main() -> None:
    servers = []
    for pair in sys.argv[1:]:
        port, target = map(int, pair.split("="))

        async def connect(client_in, client_out, target=target) -> None:
            try:
                server_in, server_out = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                client_out.close()
                return
            await asyncio.gather(carry(client_in, server_out), carry(server_in, client_out))

        servers.append(await asyncio.start_server(connect, "127.0.0.1", port))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main())
