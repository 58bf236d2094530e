"""How a question is answered: what it is about, which fact holds, and how the model words it."""
