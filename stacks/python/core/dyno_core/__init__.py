"""What every Python app of dyno shares: SQL, rows to JSON, parameters, settings, fibonacci, facts.

Frameworks and drivers are never imported here, so that each app stands alone.
"""

VERSION = "1.0.0"
