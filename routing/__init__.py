"""The service layer. Read it in this order; each package says the rest itself.

core         pure: words, rights, flags, matrix, decision, circuit, health, guards, verdict, chain
audit        the only pen of control entries: ledger, triggers, queries, verification
stream       announcements, after the commit
access       people, roles per environment, tokens, sign-in
fleet        environments, processes, leases
flags        Waffle's rows held neutral, the state per environment, the snapshot
matrix       versions of the decision matrix, the one in force in memory
compliance   personal data, residency, the gate before every path
paths        one client each: DirectBedrockClient, MCPRouter; the keeper of the local stand-ins
breakers     circuits of this process around core.circuit
decisions    the decision stream: segment, group commit, shipper, verification
health       what was measured, as stored and in memory
router       IntelligentRouter; attempts carries its calls out
monitor      HybridHealthMonitor: probe and judge
runs         our own client of the machine door, under a token that dies with the run
synthetic    labelled traffic through that door
changes      flags and matrix as use cases: judged, compared and set, booked, announced
support      BedrockSupportManager: the mode behind its flag, the infrastructure audit
deployments  documents, the step ledger, pipeline and checks, rollback
conf, loops, shipping, engine, wiring   settings, background loops, decisions on their way to
             the database, one server's parts, all put together
api, upstreams, management    the machine door, the local stand-ins, the commands
"""
