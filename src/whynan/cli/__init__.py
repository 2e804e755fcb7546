"""The command line: a file per command, with NAME, HELP, prepare_parser(parser) and run(options) -> status."""
