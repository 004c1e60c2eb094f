"""An HTTP request becomes the gRPC call of its route, and the answer becomes JSON or a stream of it."""
