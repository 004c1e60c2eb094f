"""`relay demo`: a server, workers and a load on this machine, watched until everything is accounted for."""
