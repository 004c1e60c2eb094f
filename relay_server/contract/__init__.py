"""The rules of the contract that gRPC and HTTP share: how much a request may hold, and the status of each error."""
