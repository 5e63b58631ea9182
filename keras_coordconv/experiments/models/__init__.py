"""The paper's models, one task a file, `conv` and `coordconv` side by side."""
