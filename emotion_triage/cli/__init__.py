"""The command line: one file for each group of commands.

In come arguments and files; out go lines, tables, files and exit codes.

Reading order: output, options, terminal < ledger_access, progress < score, policy, model, ledger, log, calibrate
< report < app.
"""
