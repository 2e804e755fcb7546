"""The edge: other people's programs that whynan speaks to. Nothing imports these; their hosts do."""
