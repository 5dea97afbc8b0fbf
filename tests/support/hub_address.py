"""A port of this machine for the local Hub: taken at import, before clients read where the Hub is.

Nobody listens there before a test asks for the local Hub.
"""

import socket

HUB_SOCKET = socket.socket()
HUB_SOCKET.bind(("127.0.0.1", 0))
HUB_URL = f"http://127.0.0.1:{HUB_SOCKET.getsockname()[1]}"
