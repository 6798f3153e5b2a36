"""Local stand-ins for the two paths: a Bedrock endpoint and an MCP server, as real processes.

They speak the vendors' own wire formats, keep a journal of what reached them, and misbehave on
request. `python -m routing.upstreams.bedrock|mcp --port N --home HYBRIDOPS_HOME` starts one; it
ends when its standard input closes. Nothing else of HybridOps imports this package.
"""
