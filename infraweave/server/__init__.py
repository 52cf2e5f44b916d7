"""The server: HTTP/1.1 on Hypercorn, serving, embedding, and the transport without a socket."""
