"""One module a kind of attack: `press` attacks a server until it is cancelled, `measure` gives the kind's figures."""
