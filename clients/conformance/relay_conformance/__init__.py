"""The conformance kit of Relay: plays scenarios against a client in any language and reports which it passes."""
