"""What the scripts of the open questions share: how a question is asked of the table, and how its answer is drawn."""
