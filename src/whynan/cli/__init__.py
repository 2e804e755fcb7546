"""The command line: one small file per command, each with NAME, HELP, prepare_parser(parser) and run(options) -> status."""
