"""The rules, one file each. A new file is a new rule; see docs/how-to/lint.md."""
