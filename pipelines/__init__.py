"""The programs: parse, configure, build the graph, run."""
