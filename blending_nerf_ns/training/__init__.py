"""How an edit is trained: made ready, begun, stepped, ended; over one process or several."""
