"""`bench edits`: edits of any form, fitted, asked and scored on the final model."""
