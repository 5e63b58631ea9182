"""Models of the paper, one task per file: `conv` next to `coordconv`."""
