"""The description of the HTTP API: OpenAPI 3.1 from the descriptors and the contract's comments."""
