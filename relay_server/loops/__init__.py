"""Background work of a server: what no caller asks for, in bounded steps."""
