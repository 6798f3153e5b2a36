"""The service layer. Read it in this order; each package says the rest itself.

core         pure: words, rights, flags, matrix, decision, circuit, health, guards, verdict, chain
audit        the only pen of control entries: ledger, triggers, queries, verification
stream       announcements, after the commit
access       people, roles per environment, tokens, sign-in
fleet        environments, processes, leases
flags        Waffle's rows held neutral, the state per environment, the snapshot; kill files, and
             the files of the last known good
matrix       versions of the decision matrix, its draft, overrides; those in force in memory
compliance   personal data, residency, the gate before every path
cost         prices and limits, what was spent, the meter that is asked before each request
pins         the MCP server's tools as they were accepted, and as they were last seen
paths        one client each: DirectBedrockClient (bedrock; two transports beneath: bedrock_asyncio
             over sign, pool, http, stream, and bedrock_boto3), MCPRouter; the stand-ins' keeper
breakers     circuits around core.circuit, shared between processes beside the calls
admission    the line before execution: places, ranks, who is sent away
cache        answers given before: in memory, in Redis, sealed
decisions    the decision stream: segment, group commit, shipper, verification, replay
health       what was measured, as stored and in memory
router       IntelligentRouter; doorstep sends away who could only wait in vain, recall answers
             from the cache, charging asks the budget and tells what it cost, attempts carries
             its calls out, flow an answer in pieces
monitor      HybridHealthMonitor: probe and judge
runs         our own client of the machine door, under a token that dies with the run
synthetic    labelled traffic through that door
changes      flags, matrix, drafts, overrides, breakers, pins, budgets: judged, booked, announced
support      BedrockSupportManager: the mode behind its flag, the infrastructure audit
deployments  documents, the step ledger, pipeline and checks, rollback
inforce      what a process goes by: the database, else what it kept of it
conf, loops, operating, budgeting, shipping, engine, wiring   settings, background loops, the
             runner's hands, budgets read and alerts given, decisions on their way to the database,
             one server's parts, all put together
api, upstreams, management    the machine doors, the local stand-ins, the commands
"""
